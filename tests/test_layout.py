"""The shape of the house: links, layers that need no torch, sizes and names of files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("attacks", "defenses", "harness", "leaderboard", "metrics")
ENTRIES = 16  # at the top of the harness: one room for each concern
LONGEST = 300  # lines of a source file
LONGEST_FUNCTION = 40  # lines of a function, its docstring not counted
LONGEST_TEST = 400  # lines of a file of tests that are not blank


def sources() -> list[Path]:
    folders = [ROOT / part for part in (*PARTS, "tests", "benchmarks", "examples")]
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


@pytest.mark.parametrize("part", PARTS)
def test_link_leads_to_the_folder_of_its_name(part: str) -> None:
    link = ROOT / "src" / "unveil" / part
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (ROOT / part).resolve()


def test_there_are_no_other_links() -> None:
    assert {path.name for path in (ROOT / "src" / "unveil").iterdir() if path.is_symlink()} == set(PARTS)


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["list"], ["list", "--json"]], ids=" ".join)
def test_command_imports_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    told = (
        "import sys; from unveil.cli import main\n"
        f"sys.argv = ['unveil', *{command!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'timm', 'mlflow', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_harness_has_few_rooms() -> None:
    entries = {path.name for path in (ROOT / "harness").iterdir()} - {"__pycache__"}
    assert len(entries) <= ENTRIES, sorted(entries)


@pytest.mark.parametrize("part", [*PARTS, "src/unveil/cli"])
def test_no_source_is_too_long(part: str) -> None:
    texts = {file: file.read_text(encoding="utf-8") for file in (ROOT / part).rglob("*.py")}
    assert texts
    sizes = {str(file): len(text.splitlines()) for file, text in texts.items()}
    assert not {file: size for file, size in sizes.items() if size > LONGEST}
    sizes = {f"{file}:{name}": size for file, text in texts.items() for name, size in function_sizes(text)}
    assert not {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION}


def function_sizes(text: str) -> list[tuple[str, int]]:
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node.name, _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) else 0)) for node in functions]


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_lines_of_a_function_are_counted_without_its_docstring() -> None:
    text = (
        'class A:\n    @property\n    def f(self):\n        """Says.\n\n        More.\n        """\n        return 1\n'
    )
    assert function_sizes(text) == [("f", 2)]
    assert function_sizes("async def f(\n    x,\n):\n    return x\n") == [("f", 4)]


def test_no_file_of_tests_is_too_long() -> None:
    sizes = {
        file: sum(bool(line.strip()) for line in file.read_text(encoding="utf-8").splitlines()) for file in sources()
    }
    assert not {str(file): size for file, size in sizes.items() if size > LONGEST_TEST}


def test_no_module_is_called_utils() -> None:
    assert not [file for file in sources() if file.stem in ("util", "utils", "helpers", "common", "misc")]


def test_test_files_have_names_of_their_own() -> None:
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("module", "owner"), [("mlflow", "harness/running/tracking.py")])
def test_library_is_imported_in_one_file(module: str, owner: str) -> None:
    users = {
        file.relative_to(ROOT).as_posix()
        for part in PARTS
        for file in (ROOT / part).rglob("*.py")
        if _uses(file, module)
    }
    assert users == {owner}


def _uses(file: Path, module: str) -> bool:
    """Whether a file imports it when it runs: names for annotations alone tie nobody to a library."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not isinstance(node, ast.If) or ast.unparse(node.test) != "TYPE_CHECKING"
    ]
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == module for name in names):
            return True
    return False

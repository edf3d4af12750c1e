"""Builds the wheel, installs it into a clean environment, and uses it from a folder that is not the project.

Run as a script by ``make smoke``; heavy dependencies are taken from the current environment, the package is not.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", place / "dist", ROOT, cwd=place)
        (wheel,) = (place / "dist").glob("*.whl")
        (sdist,) = (place / "dist").glob("*.tar.gz")
        for built in (wheel, sdist):
            clean(built, place / built.suffix.strip("."))
        sys.stdout.write(f"smoke: {wheel.name} and {sdist.name} work\n")


def clean(built: Path, place: Path) -> None:
    """Installs one built file into an environment of its own, and asks it for help and for its plugins."""
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    (site / "heavy.pth").write_text(sysconfig.get_path("purelib") + "\n")
    run(python, "-m", "pip", "uninstall", "--yes", "setuptools", cwd=place)  # an old one would stand before ours
    run(python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--ignore-installed", built, cwd=place)
    where = run(python, "-c", "import unveil.harness as a; print(a.__file__)", cwd=place).strip()
    assert Path(where).is_relative_to(site), f"imported {where}, not the installed package"
    terms = Path(where).parent / "models" / "heads" / "TERMS.md"
    assert terms.is_file(), f"the heads of mobile_style and their terms are not in {built.name}"
    for command in (["--help"], ["list"], ["list", "gmi"], ["plan", "quick", "--store", "elsewhere", "--no-probe"]):
        run(place / "bin" / "unveil", *command, cwd=place)


if __name__ == "__main__":
    main()

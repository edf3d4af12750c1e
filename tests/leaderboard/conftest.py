"""A sample, the page made of it, and a browser where there is one."""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from unveil.harness.figures.rows import Results
from unveil.leaderboard import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
    "--window-size=1280,900",
]  # fmt: skip


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    """The module beside this file, which builds made-up results."""
    spec = importlib.util.spec_from_file_location("leaderboard_sample", Path(__file__).parent / "sample.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def results(sample: ModuleType) -> Results:
    return sample.results()


@pytest.fixture(scope="session")
def rendered(results: Results) -> str:
    return page.render(results)


@pytest.fixture
def browse(tmp_path: Path) -> Callable[[str], tuple[str, list[str]]]:
    """Opens HTML from a file; returns the page after its scripts ran, and what the console said."""
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine")

    def run(text: str) -> tuple[str, list[str]]:
        file = tmp_path / "page.html"
        file.write_text(text, encoding="utf-8")
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return run


@pytest.fixture
def ask(browse: Callable[[str], tuple[str, list[str]]]) -> Callable[[str, str], str]:
    """Runs a script at the end of a page, its policy lifted for that; returns what the script leaves in the title."""

    def run(text: str, script: str) -> str:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        text = text.replace("</body>", f"<script>{script}</script></body>")
        dom, _ = browse(text)
        found = re.search(r"<title>(.*?)</title>", dom, re.S)
        assert found
        return html.unescape(found[1])

    return run

"""The report in a real browser; skipped where there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unveil.harness.words.names import Access
from unveil.leaderboard.report.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
Browse = Callable[[str], tuple[str, list[str]]]
HALF, NOBODY = [5] * 10 + [0] * 10, [0] * 20


@pytest.fixture
def page(case: Callable[..., Any]) -> str:
    made = case(
        {"gmi": (Access.WHITE_BOX, HALF), "an_attack_with_a_very_long_name_of_its_own": (Access.LABELS, NOBODY)},
        {"luck": NOBODY, "alike": NOBODY, "real": [5] * 20},
        defended={"tl_dmi": {"gmi": NOBODY}, "a_defense_with_a_long_name+another": {"gmi": HALF}},
        utility={"none": 5, "tl_dmi": 4, "a_defense_with_a_long_name+another": 5},
        facts={"file": "/" + "very_long_folder_name/" * 9, "notes": ("x" * 200,)},
    )
    return render(made.results(), made.audit())


def test_nothing_sticks_out_and_the_console_stays_silent(page: str, browse: Browse) -> None:
    _, console = browse(page)
    assert console == []
    inner = page.replace('"Content-Security-Policy"', '"x-policy"').replace("&", "&amp;").replace('"', "&quot;")
    script = """
      document.addEventListener('load', ({target: frame}) => {
        if (!(frame instanceof HTMLIFrameElement)) return;
        const root = frame.contentDocument.documentElement;
        for (const node of frame.contentDocument.querySelectorAll('details')) node.open = true;
        const blurred = [...frame.contentDocument.querySelectorAll('.shots img')];
        document.title += ` ${root.clientWidth}:${root.scrollWidth}:${Math.min(...blurred.map((i) => i.clientWidth))}`;
      }, true);"""
    frames = "".join(f'<iframe width="{width}" height="800" srcdoc="{inner}"></iframe>' for width in (390, 1280, 1920))
    dom, _ = browse(f"<!doctype html><title></title><script>{script}</script>{frames}")
    seen = [[int(n) for n in part.split(":")] for part in dom.split("<title>")[1].split("</title>")[0].split()]
    assert len(seen) == 3
    assert all(scroll <= client and picture >= 32 for client, scroll, picture in seen)


def test_it_prints_on_several_pages_of_a4(page: str, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine")
    file, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    file.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [CHROMIUM, *flags, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", file.as_uri()]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf.read_bytes())
    assert 3 <= len(sizes) <= 12
    assert {(round(float(w)), round(float(h))) for w, h in sizes} == {(595, 842)}

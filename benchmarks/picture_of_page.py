"""Takes the picture of the leaderboard that the README and the documentation begin with.

    python benchmarks/picture_of_page.py STORE [--plan quick] [--out docs/pictures/leaderboard.png]

STORE holds the finished results of the plan (``unveil run quick``). The page is rendered again from them, so the
picture shows the page as it is now, and opened in Chromium, which must be installed. Pictures of real people are never
on it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDE, TALL = 1280, 735  # of the window; what is below is cut off
COLOURS = 255  # of the file, so that it stays small
LARGEST = 200_000  # bytes of the file


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--plan", default="quick")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/leaderboard.png"))
    given = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium here: install it (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        board = ["board", given.plan, "--store", str(given.store), "--out", str(page)]
        subprocess.run([sys.executable, "-m", "unveil", *board], check=True)
        photograph(browser, page, shot)
        keep(shot, given.out)


def photograph(browser: str, page: Path, shot: Path) -> None:
    """The upper end of the page, in light colours."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=5000"]
    window = f"--window-size={WIDE},{TALL}"
    subprocess.run(
        [browser, *options, window, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True, timeout=300
    )


def keep(shot: Path, out: Path) -> None:
    """Few colours and a small file."""
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.open(shot).convert("RGB").quantize(COLOURS).save(out, optimize=True)
    if out.stat().st_size > LARGEST:
        sys.exit(f"{out} has {out.stat().st_size} bytes, more than {LARGEST}: make the window smaller")
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()

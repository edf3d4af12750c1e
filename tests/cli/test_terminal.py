"""Names are what users write: none is markup, and none moves the cursor, ends a line or fails to be shown."""

import io
import os
import sys
import threading

import pytest

from unveil.cli.streams import _Outlet
from unveil.cli.terminal import NARROWEST, Screen, errors, one_line, output, table

NAMES = {
    "none [a]": "none [a]", "ls [/b]": "ls [/b]", "[red]": "[red]", "\\[x]": "\\[x]", ":smile:": ":smile:",
    "[link=x]y[/link]": "[link=x]y[/link]", "a\x1b[2Jb": r"a\x1b[2Jb", "a\x9b2Jb": r"a\x9b2Jb", "a\rb": r"a\rb",
    "a\u202eb": r"a\u202eb", "a\u2028b": r"a\u2028b", "a\udcffb": r"a\udcffb", "ünï 人": "ünï 人", "": "",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_place_shows_a_name_as_it_is(name, capsys):
    shown = NAMES[name]
    made = table(f"title {name}", f"head {name}")
    made.add_row(f"cell {name}")
    output().print(made)
    output().print(f"said {name}", style="red")
    with Screen() as screen:
        screen.say(f"line {name}")
        screen.stop(screen.start(name, 1))
    told = capsys.readouterr()
    assert all(f"{place} {shown}" in told.out for place in ("title", "head", "cell", "said"))
    assert f"line {shown}\n" in told.err
    assert "\x1b" not in told.out + told.err


@pytest.mark.parametrize("name", NAMES)
def test_a_bar_shows_a_name_as_it_is(name, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Screen() as screen:
        bar = screen.start(f"train {name}", 2)
        bar.advance(1, **{f"loss {name}": 1.0})
        screen.live.refresh()
        told = capsys.readouterr().err
        screen.stop(bar)
    assert f"train {NAMES[name]}" in told
    assert f"loss {NAMES[name]} 1" in told
    assert not any(sign in told for sign in "\x9b\u202e\u2028\udcff")


def test_a_name_does_not_end_a_line():
    assert one_line("none\n[9/9] done") == r"none\n[9/9] done"


def test_a_terminal_that_cannot_show_a_character_writes_it_out(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252", errors="strict"))
    made = table("–", "人")
    made.add_row("Jürgen")
    output().print(made)
    sys.stdout.flush()
    lines = raw.getvalue().decode("cp1252").splitlines()
    assert lines[0].startswith("–")
    assert r"| \u4eba |" in lines[2]
    assert "| Jürgen |" in lines[4]
    assert len({len(line.rstrip()) for line in lines[1:]}) == 1  # written out before it is laid out


@pytest.mark.parametrize("columns", ["0", "1", "10"])
def test_no_terminal_is_too_narrow(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert errors().width == NARROWEST


def test_a_slow_reader_that_is_not_waited_for_gets_everything():
    """Some parents make pipes non-blocking: then a write may take nothing at first."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    got = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(read, 65536), b"")))
    outlet = io.BufferedWriter(_Outlet(write, required=True))
    threading.Timer(0.2, reader.start).start()
    outlet.write(b"x" * 300_000)  # more than a pipe holds
    outlet.close()
    os.close(write)
    reader.join()
    os.close(read)
    assert len(b"".join(got)) == 300_000

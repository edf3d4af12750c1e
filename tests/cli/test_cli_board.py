"""``unveil board --site`` and ``unveil serve``, as they are typed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.harness.figures.rows import Results
from unveil.harness.running.reports import Reports
from unveil.harness.store.artefacts import Store

RESULTS = Results(title="Tiny", plan='title = "Tiny"')


def call(*words: str) -> tuple[int, str]:
    """Its status, and the answer; where there is none, what it complains of."""
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.stdout or done.stderr


def test_a_site_of_several_places_is_made_kept_and_made_smaller(tmp_path: Path) -> None:
    store, site = tmp_path / "store", tmp_path / "site"
    Reports(Store(str(store)), "first").receive(RESULTS, "a")
    Reports(Store(str(store)), "second").receive(RESULTS.model_copy(update={"title": "Other"}), "b")
    lone = tmp_path / "alone.json"
    lone.write_text(RESULTS.model_copy(update={"title": "Lone"}).model_dump_json())
    status, said = call("board", str(store), str(lone), "first", "--store", str(store), "--site", str(site), "--json")
    assert status == 0, said
    told = json.loads(said)
    assert told["matrices"] == ["first", "second", "alone", "first"]
    assert told["removed"] == told["unchanged"] == 0
    assert {path.name for path in (site / "matrices").iterdir()} == {"first", "second", "alone"}
    (site / "CNAME").write_text("example.org")
    status, said = call("board", str(lone), "--site", str(site), "--title", "Ours", "--json")
    assert json.loads(said)["removed"] > 10
    assert {path.name for path in (site / "matrices").iterdir()} == {"alone"}
    assert "<h1>Ours</h1>" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "CNAME").exists()
    status, said = call("board", str(lone), "--site", str(site), "--title", "Ours", "--json")
    assert (json.loads(said)["written"], json.loads(said)["removed"]) == (0, 0)


def test_what_cannot_be_asked_for_together_is_said(tmp_path: Path) -> None:
    for words in (
        ("board", "quick", "mnist"),
        ("board", "quick", "--blurred"),
        ("board", "quick", "--site", str(tmp_path), "--out", "page.html"),
        ("board", "quick", "--site", str(tmp_path), "--blurred", "--private-pictures"),
        ("board", str(tmp_path), "--site", str(tmp_path / "site")),
        ("serve", str(tmp_path)),
    ):
        status, said = call(*words)
        assert status == 2, words
        assert "to do:" in said
    assert not list(tmp_path.iterdir())


def test_a_results_file_alone_gives_a_page(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(RESULTS.model_dump_json())
    status, said = call("board", str(tmp_path / "results.json"), "--out", str(tmp_path / "page.html"))
    assert status == 0, said
    assert "<h1>Tiny</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_serve_says_where_and_stops_in_peace(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    unveil = shutil.which("unveil", path=str(Path(sys.executable).parent))
    assert unveil
    heard = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    # where the tests run in the background of a script, Ctrl-C is ignored, which a started process inherits
    command = [sys.executable, "-c", heard, unveil, "serve", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        address = serving.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.read() == b"<!doctype html>"
        serving.send_signal(signal.SIGINT)
        try:
            _, said = serving.communicate(timeout=30)
        finally:
            serving.kill()
    assert serving.returncode == 0
    assert "Traceback" not in said

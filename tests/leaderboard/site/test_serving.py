"""The server of a site, asked as browsers and others ask."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unveil.harness.words.errors import UnveilError
from unveil.leaderboard.site.serving import server


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    site = tmp_path / "site"
    (site / "a b").mkdir(parents=True)
    (site / "index.html").write_bytes(b"<!doctype html>")
    (site / "a b" / "index.html").write_bytes(b"inner")
    (site / "data.json").write_bytes(b"{}")
    (site / "page.xhtml").write_bytes(b"<script/>")
    (site / ".hidden").write_bytes(b"hidden")
    (tmp_path / "secret.html").write_bytes(b"secret")
    (site / "out.html").symlink_to(tmp_path / "secret.html")
    (site / "up").symlink_to(tmp_path)
    (site / "loop").symlink_to(site / "loop")
    (site / "in.html").symlink_to(site / "index.html")
    with server(site, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        yield int(serving.server_address[1])
        serving.shutdown()
        thread.join()


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[int, dict[str, str], bytes]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked.putrequest(method, path, skip_host=bool(host))
    if host:
        asked.putheader("Host", host)
    asked.endheaders()
    answer = asked.getresponse()
    told = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    asked.close()
    return told


def test_files_come_with_their_kind_and_headers(port: int) -> None:
    for path, kind, body in (("/", "text/html", b"<!doctype html>"), ("/data.json?x=1#y", "application/json", b"{}")):
        status, headers, data = ask(port, path)
        assert (status, data) == (200, body)
        assert headers["content-type"].startswith(kind)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert ask(port, "/page.xhtml")[1]["content-type"] == "application/octet-stream"  # no site has one: it is not run
    assert ask(port, "/a%20b/")[2] == b"inner"
    assert ask(port, "/in.html")[0] == 200
    assert ask(port, "/index.html", "HEAD")[2] == b""


OUTSIDE = """
    /out.html /up/secret.html /up /up/ /loop /../secret.html /%2e%2e/secret.html /..%2fsecret.html
    /a%20b/../../secret.html /.hidden /%00 /none.html /..%5csecret.html //etc/passwd
"""


@pytest.mark.parametrize("path", [*OUTSIDE.split(), "/" + "a" * 5000])
def test_nothing_outside_and_nothing_hidden_is_shown(port: int, path: str) -> None:
    status, headers, data = ask(port, path)
    assert status == 404
    assert b"secret" not in data
    assert headers["content-type"].startswith("text/plain")
    assert headers["x-content-type-options"] == "nosniff"


def test_a_folder_leads_to_its_page_and_never_to_another_host(port: int) -> None:
    status, headers, _ = ask(port, "/a%20b")
    assert (status, headers["location"]) == (301, "/a%20b/")
    assert ask(port, "//a%20b")[1]["location"] == "/a%20b/"


def test_a_page_whose_name_was_bent_here_is_not_answered(port: int) -> None:
    assert ask(port, "/", host="evil.example")[0] == 421
    assert ask(port, "/", host=f"localhost:{port}")[0] == 200


def test_only_reading_is_possible(port: int) -> None:
    assert ask(port, "/index.html", "POST")[0] == 501
    assert ask(port, "/index.html", "DELETE")[0] == 501


def test_a_port_that_is_taken_and_a_folder_without_a_site_are_said(port: int, tmp_path: Path) -> None:
    with pytest.raises(UnveilError, match=f"port {port} is taken"):
        server(tmp_path / "site", port)
    with pytest.raises(UnveilError, match="no site"):
        server(tmp_path / "nowhere", 0)

"""A site in a folder that holds other things, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unveil.harness.words.errors import StoreError
from unveil.leaderboard.site.folder import MANIFEST, write

FIRST = {"index.html": b"one", "a/b/c.html": b"two", "a/d.html": b"three"}


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    before = {path: (tmp_path / path).stat() for path in (*FIRST, MANIFEST)}
    done = write(tmp_path, FIRST)
    assert done.unchanged == tuple(FIRST)
    assert not done.written
    assert all(
        (tmp_path / path).stat().st_mtime_ns == old.st_mtime_ns and (tmp_path / path).stat().st_ino == old.st_ino
        for path, old in before.items()
    )
    assert write(tmp_path, {**FIRST, "index.html": b"new"}).written == ("index.html",)


def test_what_the_site_no_longer_has_goes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "CNAME").write_bytes(b"example.org")
    (tmp_path / "a" / "mine.txt").write_bytes(b"mine")
    write(tmp_path, FIRST)
    done = write(tmp_path, {"index.html": b"one"})
    assert set(done.removed) == {"a/b/c.html", "a/d.html"}
    assert tree(tmp_path).keys() == {"index.html", MANIFEST, "CNAME", "a/mine.txt"}
    assert not (tmp_path / "a" / "b").exists()


def test_a_page_that_somebody_changed_is_not_deleted(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    (tmp_path / "a" / "d.html").write_bytes(b"by hand")
    assert write(tmp_path, {"index.html": b"one"}).left == ("a/d.html",)
    assert (tmp_path / "a" / "d.html").read_bytes() == b"by hand"


def test_nothing_of_others_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(b"somebody's")
    with pytest.raises(StoreError, match=r"no site wrote: index\.html"):
        write(tmp_path, FIRST)
    assert tree(tmp_path) == {"index.html": b"somebody's"}
    (tmp_path / "index.html").write_bytes(b"one")  # the same as ours: nothing is lost
    assert write(tmp_path, FIRST).unchanged == ("index.html",)


@pytest.mark.parametrize("place", ["a", "a/d.html", "index.html"])
def test_links_are_not_followed(tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "d.html").write_bytes(b"three")
    site = tmp_path / "site"
    (site / place).parent.mkdir(parents=True)
    (site / place).symlink_to(outside if place == "a" else outside / "d.html")
    with pytest.raises(StoreError, match="links stand where"):
        write(site, FIRST)
    assert tree(outside) == {"d.html": b"three"}


@pytest.mark.parametrize(
    "told",
    ["", "[]", '{"files": 3}', '{"files": {"../victim": "x"}}', '{"files": {"/etc/passwd": "x"}}',
     '{"files": {"a/../../victim": "x"}}', '{"files": {".git/config": "x"}}', "[" * 100_000],
)  # fmt: skip
def test_a_manifest_of_somebody_else_deletes_nothing(tmp_path: Path, told: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    site = tmp_path / "site"
    site.mkdir()
    (site / MANIFEST).write_text(told)
    with pytest.raises(StoreError):
        write(site, FIRST)
    assert victim.read_bytes() == b"precious"
    assert tree(site).keys() == {MANIFEST}


def test_one_that_was_stopped_halfway_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unveil.harness.words import disk  # noqa: PLC0415 (what stops it)

    done: list[Path] = []
    real = disk.write

    def stop(path: Path, data: bytes) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(path)
        real(path, data)

    monkeypatch.setattr(disk, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, FIRST)
    monkeypatch.undo()
    assert set(json.loads((tmp_path / MANIFEST).read_text())["files"]) == set(FIRST)
    write(tmp_path, {"index.html": b"one"})
    assert tree(tmp_path).keys() == {"index.html", MANIFEST}


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "site").write_bytes(b"")
    with pytest.raises(StoreError, match="no folder"):
        write(tmp_path / "site", FIRST)

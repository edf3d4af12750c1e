"""The page of stored results."""

from unveil.cli.board import board
from unveil.leaderboard import page


def test_a_page_is_made_again_when_its_results_or_its_makers_change_and_only_then(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    made = []
    monkeypatch.setattr(page, "render", lambda results, **_: made.append(results.title) or f"page {len(made)}")
    assert project.run().returncode == 0
    where = project.folder / "store" / "reports" / "tiny" / "leaderboard.html"

    def shown():
        board(["tiny.toml"], "store")
        return where.read_text()

    assert shown() == shown()
    assert not made
    where.unlink()
    assert shown() == "page 1"
    monkeypatch.setattr(page, "source", lambda: "another")
    assert [shown(), shown()] == ["page 2"] * 2
    results = where.with_name("results.json")
    results.write_text(results.read_text().replace("Tiny", "Large"))
    assert shown() == "page 3"
    assert made[-1] == "Large"

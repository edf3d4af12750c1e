"""Where the matrices of a site come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unveil.harness.figures.rows import Figure, Results, Row
from unveil.harness.figures.standing import FILE, Standing, written
from unveil.harness.running import bundles, exhibits, tracking
from unveil.harness.running.reports import Reports
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import StoreError, TrackingError


def results(title: str = "Tiny", defense: str = "none") -> Results:
    figure = Figure(
        metric="attack_accuracy", quantity="top-1", judge="judge", unit="share", direction="higher leaks more",
        range=(0, 1), value=0.5, low=0.4, high=0.6, samples=10, identities=5,
    )  # fmt: skip
    cell = {"data": "people", "model": "net", "attack": "gmi", "seed": 0, "access": "scores"}
    return Results(
        title=title,
        plan=f'title = "{title}"',
        rows=(Row(defense=defense, status="done", figures=(figure,), **cell),),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "store"))
    Reports(made, "first").receive(results(), "a")
    Reports(made, "second").receive(results("Other", "mid"), "b")
    made.put_text(f"reports/second/{FILE}", written(Standing("re-verified", 2, 2, (), 1, "Ann")))
    return made


def test_a_store_a_report_and_a_file_hold_what_was_kept(store: Store) -> None:
    first, second = exhibits.found(store.url)
    assert (first.name, first.results, first.state) == ("first", results(), "not checked")
    assert (second.name, second.state, second.standing and second.standing.submitter) == (
        "second",
        "re-verified",
        "Ann",
    )
    assert store.local
    report = store.local / "reports" / "second"
    for place in (report, report / "results.json"):
        assert exhibits.found(str(place)) == [second]


def test_a_store_by_its_url(store: Store) -> None:
    assert [one.name for one in exhibits.found(f"file://{store.local}")] == ["first", "second"]


def test_a_bundle_is_read_and_compared_and_nothing_is_written(store: Store, tmp_path: Path) -> None:
    packed = tmp_path / "audit.zip"
    bundles.export(packed, store, "first", results(), lambda _: "<html>", private=False)
    (found,) = exhibits.found(str(packed))
    assert (found.name, found.results, found.standing) == ("first", results(), None)
    packed.write_bytes(packed.read_bytes().replace(b'"value": 0.5', b'"value": 0.1'))
    with pytest.raises(StoreError, match="is no bundle, or damaged"):
        exhibits.found(str(packed))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"title": 3}', "nonsense", "\x00"])
def test_a_file_of_something_else_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(StoreError, match="holds no results that this version of unveil can read"):
        exhibits.found(str(tmp_path / "results.json"))


def test_a_folder_without_results_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no results in"):
        exhibits.found(str(tmp_path))


def test_a_standing_that_cannot_be_read_is_none(store: Store) -> None:
    store.put_text(f"reports/second/{FILE}", json.dumps({"state": "perfect"}))
    assert exhibits.found(store.url)[1].state == "not checked"


def test_plans_and_presets_are_no_places(tmp_path: Path, store: Store) -> None:
    plan, called_so = tmp_path / "mine.toml", tmp_path / "quick"
    plan.write_text("")
    called_so.mkdir()
    assert not any(exhibits.is_place(name) for name in ("quick", str(plan), "nowhere", str(called_so)))
    assert all(exhibits.is_place(name) for name in (store.url, "s3://bucket/audit", "mlflow:http://host"))


@pytest.mark.filterwarnings("ignore")  # MLflow and what it imports warn about themselves
def test_mlflow_gives_back_what_was_logged_the_newest_of_each_title(tmp_path: Path) -> None:
    uri, kept = f"sqlite:///{tmp_path / 'mlflow.db'}", Store(str(tmp_path / "store"))
    with pytest.raises(TrackingError, match="no MLflow database"):
        exhibits.found(f"mlflow:{uri}")
    for told in (results(defense="old"), results("Other", "mid"), results()):
        tracking.log(told, "<html>", kept, uri)
    other, tiny = exhibits.found(f"mlflow:{uri}")
    assert (other.results, tiny.results) == (results("Other", "mid"), results())
    assert tiny.name == "Tiny"
    page = f'<script type="application/json" id="data">{results("Older").model_dump_json()}</script>'
    tracking.log(results("Older", "bido"), page, kept, uri)
    _forget(uri, "Older")
    assert [one.results.title for one in exhibits.found(f"mlflow:{uri}")] == ["Older", "Other", "Tiny"]


def _forget(uri: str, title: str) -> None:
    """Takes the file of results away from a run, as from one that was logged without it."""
    client = tracking.connect(uri)
    number = client.get_experiment_by_name("unveil").experiment_id
    for run in client.search_runs([number], "tags.`unveil.kind` = 'matrix'"):
        if run.info.run_name == title:
            place = Path(client.download_artifacts(run.info.run_id, "results.json"))
            place.unlink()

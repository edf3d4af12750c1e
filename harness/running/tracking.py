"""Logs results to MLflow. The store is the truth: this can be repeated at any time, and may fail without loss."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PIL import Image

from unveil.harness.figures.rows import Results, Row
from unveil.harness.plan.canonical import digest
from unveil.harness.running import mlflow_cells, mlflow_database, mlflow_experiment, mlflow_models, mlflow_view
from unveil.harness.running.bundles import bare
from unveil.harness.running.mlflow_words import named, public, said
from unveil.harness.running.profile import metrics
from unveil.harness.words.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    from unveil.harness.store.artefacts import Store

TRAINED = ("target", "prior", "student")  # kinds of step with training curves
NOTHING: Mapping[str, Any] = MappingProxyType({})
MOST = 500  # characters of a parameter that MLflow keeps
# Set before mlflow is imported, unless the user has: no usage reports, no minutes of retries, no words of its own.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
LOGGED = "the results are safe in the store, and `unveil log` logs them"
ATTEMPTS = 2  # at connecting to a database; MLflow's own ten take minutes


def default_uri(store: Store) -> str:
    """SQLite under a local store, else a file in the current folder."""
    folder = store.local
    return mlflow_database.uri_of((folder or Path.cwd()) / "mlflow.db")


@dataclass(frozen=True)
class Logged:
    """Where results were logged.

    Attributes:
        run: Id of the parent run.
        fresh: False if the same results had been logged there before.
        link: Where a browser shows it; empty if that is not known.
    """

    run: str
    fresh: bool
    link: str


def log(
    results: Results,
    page: str,
    store: Store,
    uri: str,
    charts: Mapping[tuple[str, str, str, str, int], str] = MappingProxyType({}),
) -> Logged:
    """One parent run per matrix, one nested run per cell, judge, target, prior and student.

    Args:
        results: What to log.
        page: The rendered leaderboard, without pictures of real people.
        store: Where training curves are read from.
        uri: MLflow tracking URI.
        charts: SVG of the Fisher information by layer, by `Row.cell`.

    Raises:
        TrackingError: Whatever a server or a database may do.
    """
    with in_words(uri, "logged to", LOGGED), mlflow_database.alone(mlflow_database.database(uri)):
        client = connect(uri)
        experiment = mlflow_experiment.found(client, uri)
        parent, fresh = _log(Tracker(client, experiment, results), results, page, store, charts)
        mlflow_experiment.tag(client, experiment, mlflow_view.shared(results, parent))
        return Logged(parent, fresh, mlflow_view.address(uri, experiment, parent))


@contextmanager
def in_words(uri: str, verb: str, after: str) -> Iterator[None]:
    """Turns whatever a server or a database may do into words.

    Args:
        uri: MLflow tracking URI.
        verb: What was not done, such as ``logged to``.
        after: What to know besides.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TrackingError):
            what, expected, todo = error.what, error.expected, error.todo
        else:
            what, expected = said(error), "a database such as sqlite:///mlflow.db, or a server that answers"
            missing = f"install what it needs ({error.name}) beside unveil" if isinstance(error, ImportError) else ""
            todo = f"{missing or 'see that it is there, free and writable'}, or name another with --mlflow"
        told = public(f"not {verb} MLflow at {uri}: {what}")
        raise TrackingError(told, expected, public(f"{todo}; {after}")) from error


def connect(uri: str) -> MlflowClient:
    """A client of a tracking URI; whatever goes wrong is for `in_words`."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if uri == "off":
        raise TrackingError("'off' is no place", "an MLflow tracking URI", "give one with --mlflow")
    if (file := mlflow_database.database(uri)) is not None:
        mlflow_database.follow(file, mlflow_experiment.NAME)
    import mlflow  # noqa: PLC0415 (takes seconds; the only place that knows MLflow)

    if not uri.startswith("http"):
        import mlflow.store.db.utils  # noqa: PLC0415 (takes more of them)

        mlflow.store.db.utils.MAX_RETRY_COUNT = ATTEMPTS
    logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())  # also if others imported it
    return mlflow.MlflowClient(tracking_uri=uri)


def _log(
    tracker: Tracker,
    results: Results,
    page: str,
    store: Store,
    charts: Mapping[tuple[str, str, str, str, int], str],
) -> tuple[str, bool]:
    client = tracker.client
    rows = [row.plain() for row in results.rows]
    mark = digest(rows)
    if (known := tracker.known(mark)) is not None:
        return known, False
    about = {"unveil.rows": mark, "unveil.kind": "matrix", "mlflow.note.content": mlflow_view.PARENT}
    with tracker.run(results.title, about) as parent:
        client.log_batch(parent, params=tracker.plugins(results)[:100])
        tracker.told(parent, mlflow_cells.of_matrix(results))
        client.log_text(parent, results.plan, "plan.toml")
        client.log_text(parent, page, "leaderboard.html")
        client.log_text(parent, bare(results).model_dump_json(indent=1), "results.json")
        client.log_text(parent, json.dumps(rows, indent=1), "rows.json")
        client.log_dict(parent, results.provenance, "provenance.json")
        client.log_table(parent, mlflow_cells.table(results.rows), "figures.json")
        for row in results.rows:
            tracker.cell(parent, row, charts.get(row.cell), _samples(row, store))
        used = dict.fromkeys(key for row in results.rows for key in row.keys.values() if key in results.provenance)
        for key in (key for key in used if results.provenance[key].get("kind") in TRAINED and store.has(key)):
            tracker.trained(parent, key, store)
    return parent, True


def _samples(row: Row, store: Store) -> bytes | None:
    """What a row's prior draws, a PNG; None if it has no prior, or its pictures may show people who exist."""
    prior = row.keys.get("prior")
    return None if prior is None or not store.has(prior) else _publishable(prior, store)


def _publishable(key: str, store: Store) -> bytes | None:
    return store.file(key, "samples.png") if store.record(key).get("publishable", False) else None


class Tracker:
    """Writes runs into one experiment.

    Args:
        client: MLflow's.
        experiment: Id.
        results: What is logged.
    """

    def __init__(self, client: MlflowClient, experiment: str, results: Results) -> None:
        self.client, self.experiment, self.provenance = client, experiment, results.provenance
        # a tracking server is a publication: pictures of real people stay in the store
        self.pictures = {picture.cell: picture for picture in results.pictures if picture.publishable}
        self.title, self.models = results.title, mlflow_models.publishable(results)

    def known(self, mark: str) -> str | None:
        """Id of a finished parent run with the same rows."""
        query = f"tags.`unveil.rows` = '{mark}' and attributes.status = 'FINISHED'"
        found = self.client.search_runs([self.experiment], query, max_results=1)
        return str(found[0].info.run_id) if found else None

    @contextmanager
    def run(
        self,
        name: str,
        tags: Mapping[str, str],
        end: str = "FINISHED",
        behind: Mapping[str, Any] = NOTHING,
    ) -> Iterator[str]:
        """A run that ends as it should, or as FAILED if the block raises; it lasted as long as what is behind it."""
        begun, ended = mlflow_cells.span(behind)
        told = {"mlflow.source.name": "unveil", "mlflow.source.type": "LOCAL", **tags}
        made = self.client.create_run(self.experiment, start_time=begun, run_name=name, tags=told)
        run = str(made.info.run_id)
        try:
            yield run
        except BaseException:
            with suppress(Exception):  # the server may be what failed
                self.client.set_terminated(run, "FAILED")
            raise
        self.client.set_terminated(run, end, ended)

    def cell(self, parent: str, row: Row, chart: str | None, samples: bytes | None) -> None:
        """A nested run for one cell, with its chart and its prior's samples if any; a failed cell is a failed run."""
        first, others = mlflow_cells.first_judge(row), mlflow_cells.judges(row)[1:]
        name, end = f"{row.defense} x {row.attack}, seed {row.seed}", "FINISHED" if row.status == "done" else "FAILED"
        tags = {"mlflow.parentRunId": parent, **mlflow_cells.tags(row, "cell", first)}
        with self.run(name, tags, end, self.provenance.get(row.keys.get("attack", ""), {})) as run:
            self.told(run, mlflow_cells.params(row, self.provenance, first))
            self.numbers(run, mlflow_cells.values(row, self.provenance))
            self.client.log_dict(run, row.plain(), "row.json")
            self.client.log_table(run, mlflow_cells.table([row]), "figures.json")
            behind = {key: self.provenance[key] for key in row.keys.values() if key in self.provenance}
            self.client.log_dict(run, behind, "provenance.json")
            if chart is not None:
                self.client.log_text(run, chart, "fisher.svg")
            if row.cell in self.pictures:
                self.picture(run, base64.b64decode(self.pictures[row.cell].png), "reconstructions")
            if samples is not None:
                self.picture(run, samples, "prior")
            for judge in others:
                self.judged(run, name, row, judge)

    def judged(self, cell: str, name: str, row: Row, judge: str) -> None:
        """A nested run for what a further judge says of a cell, under the names that the first judge's figures have."""
        tags = {"mlflow.parentRunId": cell, **mlflow_cells.tags(row, "judge", judge)}
        with self.run(f"{name}, judged by {judge}", tags) as run:
            self.told(run, mlflow_cells.names(row, judge))
            self.numbers(run, mlflow_cells.opinion(row, judge))

    def told(self, run: str, params: Mapping[str, Any]) -> None:
        """Parameters, as many and as long as MLflow takes them."""
        from mlflow.entities import Param  # noqa: PLC0415 (see log)

        plain = {named(name): str(value)[:MOST] for name, value in params.items()}  # two may have become one
        self.client.log_batch(run, params=[Param(name, value) for name, value in list(plain.items())[:100]])

    def numbers(self, run: str, values: Mapping[str, float]) -> None:
        """Metrics without steps."""
        from mlflow.entities import Metric  # noqa: PLC0415 (see log)

        self.points(run, [Metric(named(name), value, int(time.time() * 1000), 0) for name, value in values.items()])

    def plugins(self, results: Results) -> list[Param]:
        """Which code the numbers come from: distribution and version, or file and hash, of each plugin."""
        from mlflow.entities import Param  # noqa: PLC0415 (see log)

        found = {named(f"plugin {one.kind} {one.name}"): "; ".join(one.origins)[:MOST] for one in results.plugins}
        return [Param(name, told) for name, told in found.items()]

    def points(self, run: str, points: Sequence[Metric]) -> None:
        """Values, as many as MLflow takes at once."""
        for start in range(0, len(points), 1000):
            self.client.log_batch(run, metrics=points[start : start + 1000])

    def picture(self, run: str, png: bytes, name: str) -> None:
        """A grid of pictures: a file, and once more where MLflow's charts find the same picture of several runs."""
        image = Image.open(io.BytesIO(png), formats=("PNG",))
        self.client.log_image(run, image, artifact_file=f"{name}.png")
        self.client.log_image(run, image, key=name, step=0, synchronous=True)

    def trained(self, parent: str, key: str, store: Store) -> None:
        """A nested run with the training curves of a target, a prior or a student, and a prior's samples."""
        from mlflow.entities import Metric  # noqa: PLC0415 (see log)

        points = [
            Metric(named(name), float(value), 0, step)
            for name, values in store.record(key)["curves"].items()
            for step, value in enumerate(values)
            if value is not None
        ]
        behind = self.provenance[key]
        tags = {"mlflow.parentRunId": parent, "unveil.status": "done", "unveil.kind": behind["kind"]}
        with self.run(behind["label"], tags, behind=behind) as run:
            self.points(run, points)
            self.numbers(run, metrics(behind))
            self.client.log_dict(run, behind, "provenance.json")
            if (samples := _publishable(key, store)) is not None:
                self.picture(run, samples, "samples")
            if key in self.models:
                mlflow_models.register(self.client, run, self.title, key, behind, store)

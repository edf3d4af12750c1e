"""What somebody sees who opens MLflow: which kind of experiment it is, what is where, and the view a link opens.

MLflow's page takes a shared view, its columns, order and groups, from a tag of the experiment, and the name of the tag
from the address. Older pages know neither tag and show their own view.
"""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from unveil.harness.figures.rows import Results, Row
from unveil.harness.running.mlflow_cells import first_judge, opinion
from unveil.harness.running.mlflow_words import named, public
from unveil.harness.words.names import ATTACK_ACCURACY, EVERY_JUDGE, MEAN_OF_JUDGES, PANEL, TOP_1, UTILITY

VIEW = "mlflow.sharedViewState."
COLUMNS = (
    f"{ATTACK_ACCURACY}/{TOP_1}",
    f"{PANEL}/{MEAN_OF_JUDGES}",
    f"{PANEL}/{EVERY_JUDGE}",
    f"{UTILITY}/{TOP_1}",
)
NAME = "attributes.`Run Name`"
FEW = 4  # columns, where a matrix has none of these
LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` serves

WIDE, NARROW = 300, 150  # pixels of a column
PAGE = "#/experiments/{experiment}/runs?workflowType=machine_learning"  # GenAI is what a browser shows first

ABOUT = """\
Privacy audits of image classifiers by **unveil**: [open the runs]({page}), or choose *Model training* at the top left.

How much do attacks reveal of the people a model was trained on?

* **One parent run for each matrix.** Its files: `leaderboard.html` (the page), `plan.toml` (the plan),
  `figures.json` (every number, a table), `results.json` (all of it, for `unveil board`), `rows.json`,
  `provenance.json`.
* **Below it, one run for each cell**, a defended target under one attack (`tags.unveil.kind = 'cell'`). `defense`,
  `attack`, `access` and `seed` are parameters and tags, so that a metric has one name in all of them.
  `attack_accuracy/top-1` is how often the first judge takes reconstructions for the right person: higher leaks more.
  `... low` and `... high` are the ends of its 95 % interval. `... by NAME` is what one judge says.
* **Below a cell, one run for each further judge** (`tags.unveil.kind = 'judge'`): the same names of metrics,
  another `judge`.
* **One run for each target, prior and student** (`tags.unveil.kind = 'target'`, and so on), with its training curves.
* **Model registry**: targets trained on data that may be published, as safetensors.

Compare only attacks with the same `access`. Runs with a `role` are controls. To compare runs, tick them and press
*Compare*.
"""
PARENT = """\
`leaderboard.html` is the page, `figures.json` every number, `plan.toml` the plan. The cells are the runs below this.
"""


def experiment_tags(experiment: str) -> dict[str, str]:
    """Of the experiment: a page for trained models, not for language-model apps; and what is where."""
    about = ABOUT.format(page=PAGE.format(experiment=experiment))
    return {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": about}


def shared(results: Results, parent: str) -> dict[str, str]:
    """The tag of the experiment that keeps the view of one matrix; see `address`."""
    return {VIEW + parent: json.dumps(view(results, parent), separators=(",", ":"))}


def view(results: Results, parent: str) -> dict[str, Any]:
    """The cells of a matrix, worst leaks first: in groups of one attack, or of one cell if there are several seeds."""
    rows = results.rows
    several = [name for name in ("data", "model") if len({getattr(row, name) for row in rows}) > 1]
    role = ["role"] if any(row.role for row in rows) else []
    seeds = len({row.seed for row in rows}) > 1
    params = [f"params.`{name}`" for name in [*several, "defense", "attack", *role, "access", "seed", "judge"]]
    metrics = [f"metrics.`{name}`" for name in columns(rows)]
    return {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent}' AND tags.`unveil.kind` = 'cell'",
        "orderByKey": metrics[0] if metrics else "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [*params, *metrics],
        "columnOrder": [NAME, *metrics, *params],
        "columnWidths": {NAME: WIDE, **dict.fromkeys(metrics, NARROW)},
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [
                {"mode": "param", "groupByData": name} for name in [*several, "attack", *(["defense"] if seeds else [])]
            ],
        },
    }


def columns(rows: tuple[Row, ...]) -> list[str]:
    """The metrics that a matrix is read by."""
    there: dict[str, float] = {}
    for row in rows:
        there |= opinion(row, first_judge(row))
    wanted = [name for name in COLUMNS if name in there]
    plain = [name for name in there if not name.endswith((" low", " high"))]
    return [named(name) for name in wanted or plain[:FEW]]


def address(uri: str, experiment: str, parent: str) -> str:
    """Where a browser shows the cells of a matrix; below `mlflow ui`'s own address if the URI is no server's.

    Empty if nobody here knows where a browser should look.
    """
    page = f"{PAGE.format(experiment=experiment)}&viewStateShareKey={parent}"
    scheme, place, path, *_ = urlsplit(uri)
    if scheme in {"http", "https"}:
        server = urlunsplit((scheme, place.rpartition("@")[2], path.rstrip("/") + "/", "", ""))
        return f"{server}{page}"
    return "" if uri.startswith("databricks") else f"{LOCAL}/{page}"


def way(uri: str, link: str) -> str:
    """What to do to see it, in words."""
    if not link or uri.startswith("http"):
        return f"open {link or public(uri)}"
    return f"run `mlflow ui --backend-store-uri {shlex.quote(public(uri))}` and open {link}"

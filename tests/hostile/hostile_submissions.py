"""Submissions that mean harm to whoever checks them."""

import hashlib
import json
import os
import zipfile

from hostile_cases import case

from unveil.harness.figures.rows import Results
from unveil.harness.running.submission import check
from unveil.harness.words.errors import StoreError

PLAN = """
title = "T"
[data]
use = "people"
[target]
use = "evil.py:Evil"
[[defenses]]
use = "none"
[[attacks]]
use = "gmi"
[[metrics]]
use = "utility"
"""
FIGURE = {
    "metric": "utility", "quantity": "top-1", "unit": "share", "direction": "higher is more useful", "range": [0, 1],
    "value": 0.5, "low": 0.4, "high": 0.6,
}  # fmt: skip


def handed(place, results, plan=PLAN, **more):
    """A bundle with all checksums right."""
    texts = {"plan.toml": plan.encode(), "results.json": results if isinstance(results, bytes) else results.encode()}
    members = {**texts, **{name: data.encode() for name, data in more.items()}}
    told = {"format": 1, "name": "t", "sha256": {n: hashlib.sha256(d).hexdigest() for n, d in members.items()}}
    path = place.write("t.zip", b"")
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in {**members, "bundle.json": json.dumps(told).encode()}.items():
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return path


def results(plan=PLAN, **figure):
    cell = {"data": "people", "model": "Evil", "defense": "none", "attack": "gmi", "seed": 0}
    row = {**cell, "status": "done", "figures": [{**FIGURE, **figure}]}
    made = {"title": "T", "plan": plan, "rows": [row], "protocol": 1}
    return Results.model_validate_json(json.dumps(made)).model_dump_json()


def checked(path):
    return check.check(path, lambda _: None).standing


@case("submission", "a name that climbs", StoreError, "no name of a file in a bundle")
def _(place):
    checked(handed(place, results(), **{"../../outside/precious.txt": "theirs"}))


@case("submission", "a pipe", StoreError, "is no file")
def _(place):
    os.mkfifo(place.root / "t.zip")
    checked(place.root / "t.zip")


@case("submission", "the zero device", StoreError, "is no file")
def _(place):
    (place.root / "t.zip").symlink_to("/dev/zero")
    checked(place.root / "t.zip")


@case("submission", "lists in lists", StoreError, "no results that this version")
def _(place):
    checked(handed(place, "[" * 1_000_000))


@case("submission", "a verdict of its own", StoreError, "no name of a file in a bundle")
def _(place):
    checked(handed(place, results(), **{"standing.json": json.dumps({"state": "re-verified"})}))


@case("submission", "a plan with code beside it, which is not run")
def _(place):
    place.write("evil.py", f"open({str(place.canary)!r}, 'w')")
    os.chdir(place.root)
    assert checked(handed(place, results())).state == "refuted"


@case("submission", "more values than there is memory, which are not made")
def _(place):
    people = {str(i): 0.5 for i in range(1000)}
    huge = results(per_identity=people, identities=1000, samples=10**15, each=[10**12])
    assert checked(handed(place, huge)).state == "refuted"


@case("submission", "a plan of millions of cells")
def _(place):
    names = "".join(f'[[attacks]]\nuse = "gmi"\nname = "a{i}"\n' for i in range(200))
    seeds = f'title = "T"\nseeds = {list(range(6000))}'
    plan = PLAN.replace('[[attacks]]\nuse = "gmi"\n', names).replace('title = "T"', seeds)
    found = checked(handed(place, results(plan), plan))
    assert found.differences[0].startswith("the plan has 1,200,000 cells")


@case("submission", "names that are markup, which stay names")
def _(place):
    evil = results().replace('"none"', json.dumps("[red]\x1b[2J<script>"))
    assert checked(handed(place, evil)).state == "refuted"

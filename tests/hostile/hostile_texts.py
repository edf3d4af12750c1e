"""Label files, plans, answers, results and stores that mean harm."""

import json
import os
import pickle
from dataclasses import replace

import torch
from hostile_cases import case, touch
from hostile_files import faces

from unveil.harness.data.folder import Folder
from unveil.harness.figures.rows import Results
from unveil.harness.plan import file as plans
from unveil.harness.plan.canonical import canonical, digest
from unveil.harness.running.reports import Reports
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import (
    DamageError,
    DataError,
    JudgeError,
    PlanError,
    PluginError,
    StoreError,
)  # fmt: skip
from unveil.harness.words.run import Run
from unveil.leaderboard.page import render
from unveil.metrics import answer_sheet


def labelled(place, text: str | bytes) -> Folder:
    folder = faces(place)
    place.write("private.csv", text)
    return replace(folder, labels=str(place.root / "private.csv"))


LINES = "".join(f"private/{who}/{k}.png,{who}\n" for who in ("ann", "bob") for k in range(4))


@case("labels", "a formula for a name", None)
def _(place):
    text = LINES.replace(",ann", ",=cmd|'/C calc'!A0")
    names = labelled(place, f"file,person\n{text}").load(Run("x")).names
    assert "=cmd|'/C calc'!A0" in names  # text, and nothing else: it is written into no table


@case("labels", "a line of 10 MB", DataError, "is not a CSV")
def _(place):
    labelled(place, f"file,person\n{LINES}{'a' * 10_000_000},ann\n").load(Run("x"))


@case("labels", "a path that no file system has", DataError, "do not exist")
def _(place):
    labelled(place, f"file,person\n{LINES}{'a/' * 30_000}x.png,ann\n").load(Run("x"))


@case("labels", "bytes of value 0", DataError, "bytes of value 0")
def _(place):
    labelled(place, f"file,person\n{LINES}private/ann/\0.png,ann\n").load(Run("x"))


@case("labels", "a path out of the folder", DataError, "not in")
def _(place):
    labelled(place, f"file,person\n{LINES}../outside/precious.txt,ann\n").load(Run("x"))


@case("labels", "a quote that never ends", DataError, "is not a CSV|goes on")
def _(place):
    labelled(place, f'file,person\n{LINES}"{LINES * 2000}').load(Run("x"))


@case("labels", "a device without an end", DataError, "is no file")
def _(place):
    folder = faces(place)
    (place.root / "private.csv").symlink_to("/dev/zero")
    replace(folder, labels=str(place.root / "private.csv")).load(Run("x"))


# Plans

PLAN = """
title = "T"
defenses = [{ use = "none" }]
attacks = [{ use = "random_latents", prior = { use = "wgan_gp" } }]
metrics = [{ use = "utility" }]
data = { use = "people" }
target = { use = "small_resnet" }
"""


@case("plan", "brackets in brackets", PlanError, "nests too deeply")
def _(place):
    plans.read(str(place.write("p.toml", "title = " + "[" * 100_000)))


@case("plan", "tables in tables by dots", PlanError, "dots")
def _(place):
    plans.read(str(place.write("p.toml", "a." * 100_000 + "a = 1")))


@case("plan", "tables in tables, a hundred deep", PlanError, "deep")
def _(place):
    plans.read(str(place.write("p.toml", PLAN.replace("T", "T").strip() + "\nrecipe." + "a." * 100 + "a = 1")))


@case("plan", "a number of 10,000 digits", PlanError, "digits")
def _(place):
    plans.read(str(place.write("p.toml", f"identities = {'9' * 10_000}{PLAN}")))


@case("plan", "100 MB", PlanError, "more than 1,000,000 bytes")
def _(place):
    with (place.root / "p.toml").open("wb") as file:
        file.truncate(100_000_000)
    plans.read(str(place.root / "p.toml"))


@case("plan", "a line that takes patterns for ever", PlanError, "not valid TOML")
def _(place):
    plans.read(str(place.write("p.toml", 'title = "' + "\\{ = " * 150_000)))


@case("plan", "a device without an end", PlanError, "more than 1,000,000 bytes")
def _(place):
    (place.root / "p.toml").symlink_to("/dev/zero")
    plans.read(str(place.root / "p.toml"))


@case("plan", "a plugin that is a path", PluginError, "no defenses plugin is called")
def _(place):
    from unveil.harness.running.matrix import expand  # noqa: PLC0415

    evil = PLAN.replace('"none"', '"../../outside/precious.txt"')
    expand(plans.read(str(place.write("p.toml", evil))))


@case("plan", "a title that is a path, for the folder of its report", None)
def _(place):
    store = Store(str(place.root / "store"))
    for title in ("../../outside", "/etc/passwd", "..", "a\0b", "x" * 5000, "\x1b[2J", "con:", "-rf *"):
        folder = Reports(store, title).keep("plan", None, Results(title=title, plan="plan"))
        assert (place.root / "store" / folder / "results.json").resolve().is_relative_to(place.root / "store/reports")


# Answers, results, store


@case("answers", "neither yes nor no", JudgeError, "yes or no")
def _(place):
    answer_sheet.read(place.write("answers.csv", f"question,same person\n1,=HYPERLINK(0){'a' * 100_000}\n"))


@case("answers", "a field of a megabyte", JudgeError, "cannot be read")
def _(place):
    answer_sheet.read(place.write("answers.csv", f"question,same\n1,{'a' * 1_000_000}\n"))


@case("answers", "no text", JudgeError, "cannot be read")
def _(place):
    answer_sheet.read(place.write("answers.csv", b"question,same\n1,\xff\xfe\0\n"))


@case("answers", "a pipe", JudgeError, "cannot be read")
def _(place):
    os.mkfifo(place.root / "answers.csv")
    answer_sheet.read(place.root / "answers.csv")


def stored_results(place, text: str) -> Results:
    place.write("store/reports/p/results.json", text)
    return Reports(Store(str(place.root / "store")), "p").read("reports/p", "run it")


@case("results", "brackets in brackets", StoreError, "damaged")
def _(place):
    stored_results(place, "[" * 500_000)


@case("results", "a number of a million digits", StoreError, "damaged")
def _(place):
    stored_results(place, '{"title": "t", "plan": "p", "rows": [{"seed": ' + "9" * 1_000_000 + "}]}")


@case("results", "keys that no results have", StoreError, "another version")
def _(place):
    stored_results(place, '{"title": "t", "plan": "p", "__class__": {"__reduce__": "os.system"}}')


@case("page", "a script wherever text may stand", None)
def _(place):
    evil = "</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    row = {"data": evil, "model": evil, "defense": evil, "attack": evil, "seed": 0, "status": "failed", "error": evil}
    results = stored_results(place, json.dumps({"title": evil, "plan": evil, "rows": [row]}))
    assert "<img src=x" not in render(results)
    assert "<img src=x" not in results._repr_html_()
    assert "49" not in results._repr_html_()


def tampered(place, **changes) -> Store:
    """A store whose manifest somebody else wrote, checksum and all."""
    store = Store(str(place.root / "store"))
    store.save("a" * 64, Artefact({"x": 1}, {"w": torch.zeros(2)}, provenance={"seconds": 1.0}))
    path = place.root / "store/artefacts" / f"{'a' * 64}.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256")
    manifest |= changes
    path.write_text(canonical({**manifest, "sha256": digest(manifest)}))
    return Store(str(place.root / "store"))


@case("store", "a blob that lies outside", DamageError, "missing or damaged")
def _(place):
    tampered(place, blobs={"tensors.safetensors": "../../../outside/precious.txt"}).load("a" * 64)


@case("store", "a file that lies outside, which only a page asks for", None)
def _(place):
    assert not tampered(place, blobs={"files/grid.png": "../../../outside/precious.txt"}).usable("a" * 64)


@case("store", "blobs that are no table", DamageError, "missing or damaged")
def _(place):
    tampered(place, blobs=["x"]).load("a" * 64)


@case("store", "a manifest of brackets", DamageError, "missing or damaged")
def _(place):
    store = tampered(place)
    place.write(f"store/artefacts/{'a' * 64}.json", "[" * 500_000)
    store.load("a" * 64)


@case("store", "a pickle in place of tensors", DamageError, "damaged or lost")
def _(place):
    store = tampered(place)
    (blob,) = (path for path in (place.root / "store/blobs").rglob("*") if path.is_file())
    blob.write_bytes(pickle.dumps(touch(place)))
    store.load("a" * 64)


@case("store", "a pickle in place of tensors, under its own checksum", DamageError, "tensors")
def _(place):
    import hashlib  # noqa: PLC0415

    evil = pickle.dumps(touch(place))
    name = hashlib.sha256(evil).hexdigest()
    place.write(f"store/blobs/{name[:2]}/{name}", evil)
    tampered(place, blobs={"tensors.safetensors": name}).load("a" * 64)

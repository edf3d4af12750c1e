"""What somebody hands in is judged again, and whoever changed a number after the fact is found out, with the number."""

import importlib
import json
import math
import os
import re
import sys
from pathlib import Path

import pytest
import torch

from unveil.harness import audit
from unveil.harness.figures import recheck, standing
from unveil.harness.figures.intervals import interval
from unveil.harness.figures.protocol import PROTOCOL
from unveil.harness.figures.rows import Results
from unveil.harness.running import bundles
from unveil.harness.running.submission import check
from unveil.harness.running.submission.make import make
from unveil.harness.store.artefacts import Store
from unveil.harness.store.bundle import Bundle
from unveil.harness.words.errors import StoreError

sys.path.insert(0, str(Path(__file__).parent))
try:
    Tampered = importlib.import_module("tampering").Tampered
finally:
    sys.path.pop(0)

PLAN = """
title = "Tiny"
pictures = 2
[data]
use = "people"
private = 4
pictures = 12
public = 12
public_pictures = 6
size = 32
spread = 0.1
[recipe]
epochs = 8
batch = 8
[target]
use = "small_resnet"
width = 4
[[evaluators]]
use = "plain_cnn"
name = "judge"
width = 8
[[evaluators]]
use = "plain_cnn"
name = "second"
width = 8
seed = 2
others = "nobody"
[[defenses]]
use = "none"
[[defenses]]
use = "tl_dmi"
freeze = "stem"
[[attacks]]
use = "public_lookalikes"
samples = 3
[[attacks]]
use = "held_out_private"
[[metrics]]
use = "attack_accuracy"
[[metrics]]
use = "utility"
"""
TOP = "attack_accuracy/closed-set top-1@judge"


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [(0.5, "self-reported", "a rehearsal at scale 0.5"), (1.0, "refuted", "its plan has 0.5")],
)
def test_a_rehearsal_is_no_submission(tmp_path, said, state, words):
    plan = f"scale = 0.5\n{PLAN}"
    results = Results(title="Tiny", plan=plan, protocol=PROTOCOL, scale=said)
    found = check.standing(Bundle("tiny", {"plan.toml": plan}, {}, ("key",)), results, None)
    assert found.state == state
    assert words in " ".join((*found.differences, *found.notes))
    whole = results.model_copy(update={"scale": 0.5})
    with pytest.raises(StoreError, match=r"a rehearsal at scale 0\.5"):
        make(
            tmp_path / "out.zip", Store(str(tmp_path)), "tiny", whole, page, submitter="", pictures=False, private=False
        )


def silent(_):
    pass


def page(results):
    return "page"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submission")
    (folder / "tiny.toml").write_text(PLAN)
    store = Store(str(folder / "store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # a store that nobody needs after a power loss
        results = audit.run(folder / "tiny.toml", store, device="cpu", precision="full", threads=1, isolated=False)
    assert all(row.status == "done" for row in results.rows), [row.error for row in results.rows]
    return store, results


@pytest.fixture(scope="module")
def honest(ran, tmp_path_factory):
    path = tmp_path_factory.mktemp("handed") / "tiny.zip"
    make(path, ran[0], "tiny", ran[1], page, submitter="Ann", pictures=True, private=False)
    return path


@pytest.fixture
def tampered(honest):
    return Tampered(honest)


def judged(tampered, tmp_path):
    return check.check(tampered.write(tmp_path / "handed.zip"), silent).standing


def test_what_was_computed_is_verified_again_and_kept_with_its_standing(honest, tmp_path):
    checked = check.check(honest, silent)
    found = checked.standing
    assert (found.state, found.differences, found.notes) == ("re-verified", (), ())
    assert found.checked == found.of == 16  # of four rows: two judges, their mean, the target's accuracy
    assert (found.protocol, found.submitter) == (PROTOCOL, "Ann")
    store = Store(str(tmp_path / "store"))
    received = check.receive(honest, store, checked)
    text = store.get_text(f"{received.folder}/standing.json")
    assert standing.read(text) == found
    check.receive(honest, store)  # looks at no picture, and knows less
    assert standing.read(store.get_text(f"{received.folder}/standing.json")) == found


def test_own_results_have_no_standing(ran, honest):
    store, _ = ran
    received = check.receive(honest, store)
    assert store.get_text(f"{received.folder}/standing.json") is None


def test_figures_alone_are_self_reported(ran, tmp_path):
    store, results = ran
    path = tmp_path / "figures.zip"
    assert make(path, store, "tiny", results, page, submitter="", pictures=False, private=False).artefacts == 0
    found = check.check(path, silent).standing
    assert (found.state, found.checked, found.of, found.submitter) == ("self-reported", 0, 16, "")
    assert any("none came along" in note for note in found.notes)


def test_private_people_stay_at_home(ran, tmp_path):
    store, results = ran
    hidden = {name: one.model_copy(update={"publishable": False}) for name, one in results.accounts.items()}
    pictures = tuple(one.model_copy(update={"publishable": False}) for one in results.pictures)
    private = results.model_copy(update={"accounts": hidden, "pictures": pictures})
    packed = make(tmp_path / "a.zip", store, "tiny", private, page, submitter="", pictures=True, private=False)
    assert packed.artefacts == 0
    assert b"person 00" not in (tmp_path / "a.zip").read_bytes()
    assert check.check(tmp_path / "a.zip", silent).standing.state == "self-reported"
    assert make(tmp_path / "b.zip", store, "tiny", private, page, submitter="", pictures=True, private=True).artefacts


def set_value(t):
    t.figure(t.row("none", "held_out_private"), TOP)["value"] = 0.875


def set_all_that_says_so(t):
    """A figure that is right in itself."""
    figure = t.figure(t.row("tl_dmi", "held_out_private"), TOP)
    who = sorted(figure["per_identity"], key=int)
    means = [1.0] * len(who) if figure["value"] < 1 else [0.0] * len(who)
    low, high = interval(means, range(len(who)), bounds=(0, 1))
    figure.update(value=means[0], low=low, high=high, per_identity=dict(zip(who, means, strict=True)))


def narrow_interval(t):
    figure = t.figure(t.row("none", "public_lookalikes"), TOP)
    figure["low"] = figure["value"] - 1e-3


def no_number(t):
    t.figure(t.row("none", "public_lookalikes"), TOP)["value"] = "NaN"


def too_many_people(t):
    t.figure(t.row("none", "public_lookalikes"), TOP)["identities"] += 1


def without_a_row(t):
    t.results["rows"].remove(t.row("none", "public_lookalikes"))


def a_row_twice(t):
    t.results["rows"].append(t.row("none", "public_lookalikes"))


def without_a_metric(t):
    row = t.row("none", "public_lookalikes")
    row["figures"] = [f for f in row["figures"] if f["metric"] != "utility"]


def without_a_judge(t):
    row = t.row("none", "public_lookalikes")
    row["figures"] = [f for f in row["figures"] if f["judge"] != "second"]


def another_judge(t):
    t.results["judges"][0]["name"] = "lenient"


def better_mean(t):
    figure = t.figure(t.row("none", "held_out_private"), "panel/mean of judges")
    figure.update(value=figure["value"] + 0.25)


def grey_reconstructions(t):
    row = t.row("none", "held_out_private")
    t.tensors(row["keys"]["attack"], lambda held: held.update(pixels=torch.full_like(held["pixels"], 7)))


def fewer_reconstructions(t):
    def change(held):
        held.update(pixels=held["pixels"][:-1], labels=held["labels"][:-1])

    t.tensors(t.row("none", "held_out_private")["keys"]["attack"], change)


def a_judge_that_says_yes(t):
    def change(held):
        held["head.bias"][:4] += 100

    for number in range(2):
        t.tensors(t.key("evaluator", number), change)


def a_better_target(t):
    t.tensors(
        t.row("none", "held_out_private")["keys"]["target"], lambda held: held["head.bias"].copy_(torch.arange(4))
    )


def keys_exchanged(t):
    first, second = (t.row(defense, "public_lookalikes")["keys"] for defense in ("none", "tl_dmi"))
    first["attack"], second["attack"] = second["attack"], first["attack"]


def the_target_for_its_defended_self(t):
    t.row("none", "public_lookalikes")["keys"]["target"] = t.row("tl_dmi", "public_lookalikes")["keys"]["target"]


def a_defense_renamed(t):
    t.plan('use = "tl_dmi"\nfreeze = "stem"', 'use = "ls"\nname = "tl_dmi"')


def another_plan_beside(t):
    t.members["plan.toml"] += b"\n# with a secret"


def no_origins(t):
    t.results["plugins"] = []


def no_version(t):
    for told in t.results["provenance"].values():
        told["versions"] = {}


TAMPERED = {
    set_value: rf"none x held_out_private, seed 0: {TOP}: .*0\.875",
    set_all_that_says_so: rf"tl_dmi x held_out_private, seed 0: {TOP} says \S+ .*and the pictures give \S+",
    narrow_interval: rf"{TOP}: says .* and its people give",
    no_number: rf"{TOP}: not all of it lies in its range",
    too_many_people: rf"{TOP}: it is over 5 people and names 4",
    without_a_row: r"1 cells of the plan have no row: .*none x public_lookalikes",
    a_row_twice: r"1 cells have more than one row",
    without_a_metric: r"metrics of the plan are missing: utility",
    without_a_judge: r"attack_accuracy is by judge, and the plan has judge, second",
    another_judge: r"the judges are not those of the plan.*(lenient|judge) of people",
    better_mean: r"mean of judges",
    grey_reconstructions: r"none x held_out_private, seed 0: attack_accuracy/\S.* says .* and the pictures give",
    fewer_reconstructions: r"none x held_out_private, seed 0: .* is over 8 pictures of 4 people, and there are 7 of 4",
    a_judge_that_says_yes: r"@second says .* and the pictures give",
    a_better_target: r"utility/",
    keys_exchanged: r"its attack is not one on its target",
    the_target_for_its_defended_self: r"its target was computed with",
    a_defense_renamed: r"its target was computed with none|small_resnet, tl_dmi, and the plan has ls",
    another_plan_beside: r"plan.toml is not the plan",
    no_origins: r"plugins do not say where their code comes from: .*attacks held_out_private",
    no_version: r"does not say which version of unveil",
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERED, ids=lambda how: how.__name__)
def test_tampering_is_refuted_and_the_figure_named(tampered, tmp_path, how):
    how(tampered)
    found = judged(tampered, tmp_path)
    assert found.state == "refuted"
    assert any(re.search(TAMPERED[how], told) for told in found.differences), found


def test_a_changed_byte_is_no_bundle(honest, tmp_path):
    data = bytearray(honest.read_bytes())
    data[len(data) // 3] ^= 1
    (tmp_path / "handed.zip").write_bytes(data)
    with pytest.raises(StoreError, match="bundle"):
        check.check(tmp_path / "handed.zip", silent)


@pytest.mark.parametrize("protocol", [0, PROTOCOL + 1])
def test_another_protocol_is_never_verified(tampered, tmp_path, protocol):
    tampered.results["protocol"] = protocol
    found = judged(tampered, tmp_path)
    assert (found.state, found.checked, found.protocol) == ("self-reported", 0, protocol)
    without_a_row(tampered)
    assert judged(tampered, tmp_path).state == "refuted"


def test_older_results_read_as_what_they_are(ran):
    plain = json.loads(ran[1].model_dump_json())
    assert plain.pop("protocol") == PROTOCOL
    for row in plain["rows"]:
        for figure in row["figures"]:
            del figure["each"]
    assert bundles.Results.model_validate(plain).protocol == 0


FOREIGN = {
    "code": ('use = "small_resnet"', 'use = "evil.py:Evil"\nname = "small_resnet"', "is not installed here"),
    "a path": ('name = "judge"\nwidth = 8', 'name = "judge"\nwidth = 8\nweights = "/etc/passwd"', "may be a path"),
    "a larger network": ('name = "judge"\nwidth = 8', 'name = "judge"\nwidth = 80000', "no step says that it is"),
    "other pictures": ("private = 4", "private = 5", "not what the plan asks for"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_of_a_strangers_plan_is_run_or_followed(tampered, tmp_path, what, monkeypatch):
    """It is noted, and never verified; code beside the checker is no code of the plan, either."""
    old, new, told = FOREIGN[what]
    tampered.plan(old, new)
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')")
    monkeypatch.chdir(tmp_path)
    found = judged(tampered, tmp_path)
    assert found.state != "re-verified"
    assert any(told in note for note in found.notes), found.notes
    assert "evil" not in sys.modules


def test_a_network_larger_than_what_came_along_is_not_built(tampered, tmp_path):
    tampered.record(tampered.key("evaluator"), lambda record: record.update(classes=199_999))
    found = judged(tampered, tmp_path)
    assert found.state == "self-reported"
    assert any("its network would have" in note for note in found.notes)


def test_reconstructions_that_are_no_pictures_end_nothing(tampered, tmp_path):
    key = tampered.row("none", "held_out_private")["keys"]["attack"]
    tampered.tensors(key, lambda held: held.update(labels=held["labels"] + 1_000_000))
    found = judged(tampered, tmp_path)
    assert found.state == "self-reported"
    assert any("are not of shape" in note for note in found.notes)


def test_pictures_that_the_plan_does_not_draw(tampered, tmp_path):
    tampered.tensors(tampered.key("data"), lambda held: held.update({"test.pixels": 255 - held["test.pixels"]}))
    found = judged(tampered, tmp_path)
    assert found.state == "refuted"
    assert any("not those that the plan draws: test.pixels" in told for told in found.differences)


def test_a_damaged_plan_or_cover(tampered, tmp_path):
    tampered.plan("[[metrics]]", "[[metrics")
    assert any("its plan cannot be read" in told for told in judged(tampered, tmp_path).differences)
    tampered.members["submission.json"] = b'{"submitter": "Ann", "verified": true}'
    with pytest.raises(StoreError, match=r"submission\.json"):
        judged(tampered, tmp_path)


@pytest.mark.parametrize("each", [(), (3,), (0,), (-1,), (2, 2), (10**12,)])
def test_hostile_counts_end_in_words(ran, each):
    figure = next(f for f in ran[1].rows[0].figures if f.per_identity)
    told = list(recheck.differences(figure.model_copy(update={"each": each, "samples": 10**13})))
    assert all(isinstance(one, str) for one in told)
    spoilt = figure.model_copy(update={"per_identity": {"x": math.nan}})
    assert list(recheck.differences(spoilt))


def test_the_protocol_is_raised_when_an_interval_changes():
    """If this is meant, raise `PROTOCOL` and write the new numbers here: old figures do not compare with new ones."""
    values, people = [1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    known = {1: ((0.0853, 0.9147), (-0.2454, 1.2454))}
    found = (interval(values, people, bounds=(0, 1)), interval(values, people))
    assert [pytest.approx(ends, abs=1e-4) for ends in known[PROTOCOL]] == list(found)

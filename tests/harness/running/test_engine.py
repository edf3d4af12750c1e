"""The engine from the outside: what is computed again, what survives, and what a user is told."""

import hashlib
import json
import re
from importlib.metadata import version

import pytest
import torch

from unveil.harness.assets import torchvision_ops
from unveil.harness.figures.rows import Results
from unveil.harness.plan.file import read
from unveil.harness.plan.node import Use
from unveil.harness.running.assemble import _architecture
from unveil.harness.running.matrix import expand
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.spec import Spec

torchvision_ops.ensure()
import timm  # noqa: E402

TIMM = 'use = "timm"\narchitecture = "test_efficientnet"\nweights = "w.pt"'
STYLE = '{ use = "stylegan2_ada", file = "w.pt", trained_on = "nobody at all" }'


def computed(done):
    """Labels of what was computed, and the closing count."""
    labels = re.findall(r"^\[\d+/\d+\] (.*): [\d.]+ s$", done.stderr, re.MULTILINE)
    (count,) = re.findall(r"(\d+) computed now", done.stderr)
    assert len(labels) == int(count)
    return labels


def test_what_was_computed_once_is_never_computed_again(project):
    first = project.run()
    assert first.returncode == 0, first.stderr
    assert len(computed(first)) == 12  # data, judge, and target, attack, pictures and two measures for each defense
    page = (project.folder / "store/reports/tiny/leaderboard.html").read_text()
    assert "trouble" in page
    told = json.loads((project.folder / "store/reports/tiny/results.json").read_text())
    origins = {(one["kind"], one["name"]): one["origins"] for one in told["plugins"]}
    assert origins["metrics", "utility"] == [f"unveil {version('unveil')}"]
    guess = hashlib.sha256((project.folder / "guess.py").read_bytes()).hexdigest()[:12]
    assert origins["attacks", "guess.py:Guess"] == [f"file guess.py, sha256 {guess}"]
    assert all(key in page for key in (guess, "blobs.py"))
    rows = project.rows()

    assert computed(project.run()) == []
    assert project.rows() == rows

    project.edit("tiny.toml", "[[attacks]]", '[[defenses]]\nuse = "tl_dmi"\nfreeze = "stage2"\n[[attacks]]')
    added = computed(project.run())
    assert added
    assert all("tl_dmi" in label for label in added)

    project.edit("guess.py", "5 * slope", "6 * slope")
    redone = computed(project.run())
    assert redone
    assert all(label.startswith(("guess on", "pictures of guess", "attack_accuracy of guess")) for label in redone)

    project.edit("guess.py", "One gradient step from grey.", "A comment or a docstring is no change.")
    assert computed(project.run()) == []


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_an_interrupted_run_continues_to_the_same_bytes(project, how):
    assert project.run("whole").returncode == 0
    broken = project.run("cut", TROUBLE=str(project.folder / "marker"), TROUBLE_HOW=how)
    assert broken.returncode == (-9 if how == "kill" else 130)
    if how == "interrupt":
        assert "run the same command again" in broken.stderr
    again = project.run("cut")
    assert again.returncode == 0
    assert "target small_resnet with trouble" in computed(again)
    assert "target small_resnet with none" not in computed(again)
    assert project.rows("cut") == project.rows("whole")


def test_a_broken_plugin_is_a_failed_row_and_the_rest_goes_on(project):
    project.edit(
        "tiny.toml",
        'name = "trouble"',
        'name = "trouble"\nnan = true\n[[defenses]]\nuse = "trouble.py:Trouble"\nname = "raises"\nfail = true',
    )
    done = project.run()
    assert done.returncode == 1
    rows = {row["defense"]: row for row in json.loads(project.rows())}
    assert rows["none"]["status"] == "done"
    assert rows["trouble"]["status"] == "failed"
    assert "not a number" in rows["trouble"]["error"] or "nan" in rows["trouble"]["error"]
    assert rows["raises"]["error"].startswith("ValueError: the plugin is broken (trouble.py, line")
    assert not rows["raises"]["figures"]
    assert "the plugin is broken" in done.stdout
    assert "the plugin is broken" in (project.folder / "store/reports/tiny/leaderboard.html").read_text()
    project.edit("trouble.py", "if self.fail:", "if False:")
    project.run()
    assert {row["defense"]: row["status"] for row in json.loads(project.rows())}["raises"] == "done"  # never cached


def test_a_network_full_of_nan_is_said_to_have_diverged(project):
    project.edit("tiny.toml", "epochs = 3", "epochs = 3\nlr = 1e8")
    done = project.run()
    assert done.returncode == 1
    assert "target small_resnet with none: FAILED: training diverged in epoch" in done.stderr
    assert all("diverged" in row["error"] and not row["figures"] for row in json.loads(project.rows()))


def test_rows_tell_what_was_spent(project):
    project.run()
    results = Results.model_validate_json((project.folder / "store/reports/tiny/results.json").read_text())
    row = results.rows[0]
    assert row.budget == {"attack queries": 6, "attack gradients": 6, "prior queries": 0, "prior gradients": 0,
                           "surrogate queries": 0}  # fmt: skip
    assert set(row.keys) == {"data", "target", "attack"}
    assert all(key in results.provenance for key in row.keys.values())
    (judge,) = results.judges
    assert judge.model == "plain_cnn"
    assert [figure.column for figure in judge.figures] == [
        "accepts held-out private",
        "takes a stranger for a private person",
        "closed-set top-1",
        "1 - calibration error",
    ]


def test_a_plan_is_estimated_from_what_the_store_knows(project):
    def steps():
        return json.loads(project.call("plan", "tiny.toml", "--store", "store", "--no-probe", "--json").stdout)

    cold = {step["kind"]: (step["state"], step["seconds"], step["source"]) for step in steps()}
    assert cold["evaluator"] == ("to run", None, "")  # the presets' ran on other data: any guess would mislead
    assert cold["attack"] == ("to run", None, "")
    assert cold["picture"][2] == "the same plugin, other settings, two cores elsewhere"
    project.run()
    warm = {step["kind"]: step for step in steps()}
    assert all(step["state"] == "known" for step in warm.values())
    project.edit("tiny.toml", "epochs = 3", "epochs = 4")
    found = {step["kind"]: step for step in steps()}
    assert (found["data"]["state"], found["data"]["source"]) == ("known", "this store")
    assert (found["target"]["state"], found["target"]["source"]) == ("to run", "the same work, other numbers of steps")
    assert found["target"]["seconds"] == pytest.approx(warm["target"]["seconds"] * 4 / 3)
    assert found["attack"]["source"] == "as much work"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('use = "small_resnet"\nwidth = 4', TIMM),
        ('use = "plain_cnn"\nname = "judge"\nwidth = 4', TIMM),
        (
            'use = "utility"',
            f'use = "delta_face"\n{TIMM.replace("use", "embedder.use").replace("arch", "embedder.arch")}',
        ),
        ('use = "guess.py:Guess"', f'use = "gmi"\nprior = {STYLE}'),
    ],
)
def test_weights_are_tried_out_before_anything_is_trained(project, old, new):
    state = timm.create_model("test_efficientnet", num_classes=9).state_dict()
    torch.save({**state, "conv_stem.weight": torch.full((24, 3, 3, 3), torch.nan)}, project.folder / "w.pt")
    project.edit("tiny.toml", old, new)
    with pytest.raises(WeightsError, match=r"w\.pt"):
        expand(read(str(project.folder / "tiny.toml")))


def test_what_was_done_to_weights_is_said_beforehand_and_in_the_row(project):
    net = timm.create_model("test_efficientnet", num_classes=9)
    torch.save({f"_orig_mod.{name}": value for name, value in net.state_dict().items()}, project.folder / "w.pt")
    project.edit("tiny.toml", 'use = "small_resnet"\nwidth = 4', TIMM)
    matrix = expand(read(str(project.folder / "tiny.toml")))
    told = "taken off the names in the checkpoint: _orig_mod."
    assert matrix.notes == (f"timm: {told}",)
    assert all(cell.notes == (f"target's first weights: {told}",) for cell in matrix.cells)
    assert f"note: timm: {told}" in project.call("plan", "tiny.toml", "--store", "store", "--no-probe").stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("epochs = 3", "epohcs = 3", "recipe has no setting 'epohcs'; did you mean 'epochs'?"),
        ("epochs = 3", 'epochs = "three"', "recipe: epochs = 'three'"),
        ('use = "none"', 'use = "nnoe"', "no defenses plugin is called 'nnoe'; did you mean 'none'?"),
        ("[[attacks]]", "[[atacks]]", "unknown key 'atacks'; did you mean 'attacks'?"),
        ('title = "Tiny"', "", "title is missing"),
        ('use = "plain_cnn"', 'use = "small_resnet"', "the same model as target"),
        ("pictures = 2", "pictures = ", "not valid TOML"),
        ('use = "trouble.py:Trouble"', 'use = "missing.py:Trouble"', "missing.py does not exist"),
    ],
)
def test_bad_plans_are_told_in_words_before_anything_runs(project, old, new, told):
    project.edit("tiny.toml", old, new)
    done = project.run()
    assert done.returncode == 2
    assert told in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert not (project.folder / "store").exists()


def test_a_judge_is_called_by_its_network(tmp_path):
    timm = Use("models", Spec("timm", {"architecture": "test_efficientnet"}), str(tmp_path))
    assert _architecture(timm) == "timm test_efficientnet"
    assert _architecture(Use("models", Spec("plain_cnn"), str(tmp_path))) == "plain_cnn"


def test_a_white_box_attack_takes_an_output_defense_off_and_its_row_says_so(project):
    project.edit("tiny.toml", "[[attacks]]", '[[defenses]]\nuse = "noisy_scores"\nsigma = 50.0\n[[attacks]]')
    assert project.run().returncode == 0
    rows = {row["defense"]: row for row in json.loads(project.rows())}
    figures = {name: {(f["metric"], f["quantity"]): f["value"] for f in row["figures"]} for name, row in rows.items()}
    assert "bypassed" in " ".join(rows["noisy_scores"]["notes"])
    assert "bypassed" not in " ".join(rows["none"]["notes"])
    plain, noisy = figures["none"], figures["noisy_scores"]
    assert {k for k in plain if plain[k] != noisy[k]} <= {k for k in plain if k[0] == "utility"}
    assert plain != noisy  # usefulness is what a user gets

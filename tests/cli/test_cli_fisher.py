"""``unveil fisher`` on a project of tiny plugins."""

import json

import pytest
from typer.testing import CliRunner

from unveil.cli.app import app
from unveil.cli.fisher import only_fisher
from unveil.harness.plan.file import read
from unveil.harness.words.errors import PlanError

GUIDED = """
    def reconstruct(self, view, ingredients, labels, run):
        keys = [(int(y), i) for y in labels for i in range(self.samples)]
        wanted = torch.tensor([y for y, _ in keys])
        x = (0.5 + 0.1 * draw_normal(run.generators("x", keys), view.shape)).requires_grad_(True)
        run.keep("path pixels", (x.detach().clamp(0, 1) * 255).byte())
        run.keep("path labels", wanted)
        (slope,) = torch.autograd.grad(self.identity_loss(view.logits(x), wanted).sum(), x)
        return Images((x.detach() - 5 * slope).clamp(0, 1), wanted)

    def identity_loss(self, o, y):
        return torch.nn.functional.cross_entropy(o, y, reduction="none")
"""


def call(*arguments):
    done = CliRunner().invoke(app, ["fisher", *arguments, "--store", "store", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    return done


def test_it_runs_only_what_it_needs_and_says_what_it_found(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    attack = (project.folder / "guess.py").read_text()
    (project.folder / "guided.py").write_text(attack[: attack.index("    def reconstruct")] + GUIDED)
    project.edit("tiny.toml", "[[attacks]]", '[[attacks]]\nuse = "guided.py:Guess"\nname = "guided"\n[[attacks]]')
    project.edit("tiny.toml", 'use = "trouble.py:Trouble"', 'use = "mid"')
    done = call("tiny.toml")
    assert "evaluator" not in done.stderr
    assert "guess on" not in done.stderr
    assert "none x guided (Blobs" in done.stdout
    assert "trouble x guided" in done.stdout
    assert "claim of TL-DMI" in done.stdout or "Cannot be told from these people" in done.stdout

    again = call("tiny.toml", "--json")
    assert "0 computed now" in again.stderr
    none, trouble = json.loads(again.stdout)
    assert (none["defense"], none["attack"]) == ("none", "guided")
    assert none["conclusion"] in ("agrees", "contradicts", "cannot be told")
    for task in ("classification", "inversion"):
        shares = [layer[task]["value"] for layer in none["layers"].values()]
        assert sum(shares) == pytest.approx(1)
        assert next(iter(none["layers"])) == "stem.0"
    assert list(trouble["layers"])[-1] == "head.linear"


def test_a_plan_without_an_attack_that_descends_a_loss_is_refused(project):
    with pytest.raises(PlanError, match=r"no attack of the plan \(guess\) descends an identity loss"):
        only_fisher(read(str(project.folder / "tiny.toml")))


def test_the_plans_own_settings_are_kept(project):
    project.edit(
        "tiny.toml", "[[attacks]]", '[[attacks]]\nuse = "gmi"\n[[metrics]]\nuse = "fisher"\nsamples = 2\n[[attacks]]'
    )
    plan = only_fisher(read(str(project.folder / "tiny.toml"))).plan
    assert [part.label for part in plan.attacks] == ["gmi"]
    assert [(part.use, dict(part.spec.settings)) for part in plan.metrics] == [("fisher", {"samples": 2})]
    assert (plan.evaluators, plan.pictures) == ([], 0)

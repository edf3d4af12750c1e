"""What plugins want of each other: attacks that wrap attacks, priors tuned by attacks, models and comparers."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from unveil.harness.conformance import check
from unveil.harness.plan.file import PlanFile, parse, read
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.steps.attack import left
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import AccessError, PluginError
from unveil.harness.words.meter import Budget, Spent
from unveil.harness.words.needs import GivenModel, TrainedPrior, access_of, needs_of
from unveil.harness.words.spec import Spec

TUNED = '''
"""A prior tuned by an attack, and an attack that runs another again with it: each one small class."""
from dataclasses import dataclass, replace
from typing import ClassVar
import torch
from torch import nn
from unveil.harness.types import (
    Access, Attack, Generator, GivenModel, Images, Ingredients, Prior, Spec, TrainedPrior, WrappedAttack, draw_normal,
)

GUESS = Spec("guess.py:Guess", {"samples": 3})


class Around(Generator):
    """One picture, and noise around it."""

    latent = 3 * 16 * 16

    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.full((3, 16, 16), 0.5))

    def synthesize(self, z):
        return (self.centre + 0.05 * z.view(-1, 3, 16, 16)).clamp(0, 1)

    def realism(self, x):
        return -(x - self.centre).square().mean((1, 2, 3))


@dataclass(frozen=True)
class Tuned:
    """Noise around the mean of what an attack reconstructed."""

    access: ClassVar[None] = None

    def needs(self):
        return {"pilot": WrappedAttack(GUESS)}

    def build(self, classes, shape):
        return Around()

    def fit(self, generator, public, view, run, given):
        assert view is None
        pilot = given.attacks["pilot"]
        assert len(pilot.images) == 3 * len(pilot.images.labels.unique())
        generator.centre.data.copy_(pilot.images.pixels.mean(0))
        return {}


@dataclass(frozen=True)
class Twice(Attack):
    """Searches the tuned prior from where another attack came to, which it runs once more."""

    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return {"prior": TrainedPrior(Spec("tuned.py:Tuned")), "base": WrappedAttack(GUESS),
                "eyes": GivenModel(Spec("plain_cnn", {"width": 4}))}

    def reconstruct(self, view, ingredients, labels, run):
        base = ingredients.given.attacks["base"]
        assert base.ingredients.prior is None
        again = base.attack.reconstruct(view, base.ingredients, labels, run)
        z = draw_normal(run.generators("z", [(int(y),) for y in labels]), (ingredients.prior.latent,))
        seen = ingredients.given.models["eyes"].logits(ingredients.prior.synthesize(z))
        assert seen.shape[1] == view.classes and not ingredients.given.models["eyes"].training
        run.keep("again", again.pixels)
        mean = torch.stack([base.images.pixels[base.images.labels == y].mean(0) for y in labels])
        return Images((mean + ingredients.prior.synthesize(z).detach()) / 2, labels)
'''

WRAPPING = """
from dataclasses import dataclass
from typing import ClassVar
from unveil.harness.types import Access, Images, Prior, Spec, TrainedPrior, WrappedAttack


@dataclass(frozen=True)
class Wraps:
    inner: Spec
    access: ClassVar[Access] = Access.LABELS

    def needs(self):
        return {"base": WrappedAttack(self.inner)}

    def reconstruct(self, view, ingredients, labels, run):
        return ingredients.given.attacks["base"].images


@dataclass(frozen=True)
class Itself:
    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return {"base": WrappedAttack(Spec("wrapping.py:Itself"))}

    reconstruct = Wraps.reconstruct
"""


@pytest.fixture
def wrapping(project):
    (project.folder / "tuned.py").write_text(TUNED)
    project.edit("tiny.toml", 'use = "guess.py:Guess"\nname = "guess"', 'use = "tuned.py:Twice"\nmax_queries = 9')
    project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")
    return project


def test_an_attack_wraps_another_and_a_prior_is_tuned_by_one(wrapping):
    matrix = expand(read(str(wrapping.folder / "tiny.toml")))
    (cell,) = matrix.cells
    roles = ["data", "target", "prior", "prior pilot", "base", "eyes", "attack"]
    assert [role for role in cell.nodes if role != "picture"] == roles
    assert cell.nodes["prior"].label == "prior tuned.py:Tuned for small_resnet with none"
    store = Store(str(wrapping.folder / "store"))
    outcomes = run_nodes(matrix.nodes(), Surroundings(store.url), InlinePool(), lambda node, outcome: None)
    assert all(outcome.good for outcome in outcomes.values()), outcomes
    attack = store.load(cell.nodes["attack"].key)
    people = 3
    assert attack.record["budget"] == {
        "attack queries": 3 * people, "attack gradients": 3 * people, "attack queries allowed": 9 * people,
        "prior queries": 0, "prior gradients": 0, "surrogate queries": 0,
        "prior pilot attack queries": 3 * people, "prior pilot attack gradients": 3 * people,
        "base attack queries": 3 * people, "base attack gradients": 3 * people,
    }  # fmt: skip
    assert (attack.tensors["kept again"].shape[0], len(attack.tensors["pixels"])) == (3 * people, people)
    assert store.record(cell.nodes["eyes"].key)["parameters"] > 0


def test_what_is_shared_is_counted_once_and_as_ones_own(wrapping):
    wrapping.edit("tiny.toml", "\nmax_queries = 9", "")
    (cell,) = (matrix := expand(read(str(wrapping.folder / "tiny.toml")))).cells
    assert cell.nodes["base"].key == cell.nodes["prior pilot"].key
    store = Store(str(wrapping.folder / "store"))
    run_nodes(matrix.nodes(), Surroundings(store.url), InlinePool(), lambda node, outcome: None)
    budget = store.record(cell.nodes["attack"].key)["budget"]
    assert budget["base attack queries"] == 9
    assert not [name for name in budget if "pilot" in name]


def test_what_a_wrapped_attack_asks_counts_for_the_limit():
    limits = Budget(queries=10, gradients=None, identities=3)
    assert left(limits, Spent()) == limits
    assert left(limits, Spent(16, 99)) == Budget(queries=4, gradients=None, identities=3)
    assert left(limits, Spent(40, 0)).total("queries") == 0


def test_equal_needs_are_one_node_and_code_is_in_the_key(wrapping, tmp_path):
    (cell,) = expand(read(str(wrapping.folder / "tiny.toml"))).cells
    assert {"data", "target"} <= set(cell.nodes["base"].parents)
    other = tmp_path / "other"
    other.mkdir()
    for path in wrapping.folder.glob("*.*"):
        (other / path.name).write_text(path.read_text())
    guess = (other / "guess.py").read_text()
    (other / "guess.py").write_text(guess.replace("5 * slope", "6 * slope"))
    (changed,) = expand(read(str(other / "tiny.toml"))).cells
    assert changed.nodes["attack"].identity == cell.nodes["attack"].identity
    for role in ("base", "prior", "attack"):
        assert changed.nodes[role].key != cell.nodes[role].key, role
    assert changed.nodes["target"].key == cell.nodes["target"].key


def test_they_conform(wrapping):
    for use in ("tuned.py:Tuned", "tuned.py:Twice"):
        source = (wrapping.folder / "tuned.py").read_text().replace("16", "32")
        (wrapping.folder / "tuned.py").write_text(source)
        report = check(use, base=wrapping.folder)
        assert report.ok, str(report)


PLAN = """
title = "t"
[data]
use = "mnist"
[target]
use = "small_resnet"
[evaluator]
use = "plain_cnn"
[defense]
use = "none"
[attack]
{attack}
[metric]
use = "attack_accuracy"
"""


def expanded(tmp_path, attack):
    (tmp_path / "wrapping.py").write_text(WRAPPING)
    text = PLAN.format(attack=attack)
    return expand(PlanFile(parse(text, "p"), text, tmp_path, "p"))


def wraps(inner):
    return f'use = "wrapping.py:Wraps"\ninner = {{ {inner} }}'


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (
            'use = "brep_mi"\nprior = { use = "conditional_gan" }',
            "brep_mi declares labels access, and conditional_gan, which it needs, asks .* with white-box access",
        ),
        ('use = "mirror"\nprior = { use = "conditional_gan" }', "mirror declares scores access"),
        (wraps('use = "gmi"'), "Wraps declares labels access, and gmi, which"),
        (wraps('use = "mirror"'), "with scores access"),
        (wraps('use = "random_latents", prior = { use = "conditional_gan" }'), "and conditional_gan, which it needs"),
        (wraps('use = "held_out_private"'), "Wraps wraps held_out_private, which is shown private pictures"),
    ],
)
def test_more_access_than_is_declared_is_refused_in_the_plan(tmp_path, attack, words):
    with pytest.raises(AccessError, match=words):
        expanded(tmp_path, attack)


@pytest.mark.parametrize(
    "attack",
    [
        'use = "random_latents"\nprior = { use = "conditional_gan" }',  # a control may: it shows what the prior leaks
        'use = "gmi"\nprior = { use = "conditional_gan" }',
        wraps('use = "brep_mi"'),
        wraps('use = "random_latents"'),
    ],
)
def test_as_much_access_as_is_declared_is_not(tmp_path, attack):
    assert len(expanded(tmp_path, attack).cells) == 1


def test_needs_that_never_end_are_refused(tmp_path):
    with pytest.raises(PluginError, match="needs go in a circle"):
        expanded(tmp_path, 'use = "wrapping.py:Itself"')


@dataclass(frozen=True)
class Says:
    what: object
    needs_view: ClassVar[bool] = True

    def needs(self):
        return self.what


def test_needs_are_said_at_length_or_in_short():
    prior = TrainedPrior(Spec("wgan_gp"))
    for said, meant in (
        (None, {}),
        (Spec("wgan_gp"), {"prior": prior}),
        ({"prior": Spec("wgan_gp")}, {"prior": prior}),
        ({"eyes": GivenModel(Spec("x")), "prior": prior}, {"eyes": GivenModel(Spec("x")), "prior": prior}),
    ):
        assert needs_of(Says(said)) == meant
    assert needs_of(object()) == {}
    for said, words in (
        ("wgan_gp", "returned str"),
        ({"data": prior}, "under the role 'data'"),
        ({"prior": "wgan_gp"}, "has str under 'prior'"),
    ):
        with pytest.raises(PluginError, match=words):
            needs_of(Says(said))
    assert access_of(Says(None)) == "white-box"  # as a prior said it before it could declare an access
    assert access_of(object()) is None


def test_the_wrapper_in_the_documentation_conforms_and_expands(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text(encoding="utf-8")
    section = text[text.index("## What a plugin needs") :]
    (tmp_path / "averages.py").write_text(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1])
    report = check("averages.py:Averages", base=tmp_path)
    assert report.ok, str(report)
    (cell,) = expanded(tmp_path, 'use = "averages.py:Averages"').cells
    assert [role for role in cell.nodes if role.startswith("base")] == ["base", "base prior"]


EYES = """
from dataclasses import dataclass
from pathlib import Path
from torch import nn
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import WeightsError


class Reads(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) - 0.5


@dataclass(frozen=True)
class Eyes:
    def content(self):
        if not Path("weights").exists():
            raise WeightsError("the file weights is not there")
        return {"weights": Path("weights").read_text()}

    def build(self, classes, shape, run):
        return Classifier({"read": Reads()}, nn.Identity(), classes=classes)
"""


def test_a_metric_whose_model_cannot_be_had_is_not_scored_until_it_can(project):
    (project.folder / "eyes.py").write_text(EYES)
    metric = '[[metrics]]\nuse = "delta_face"\nembedder = "eyes.py:Eyes"\n[[metrics]]\nuse = "utility"'
    project.edit("tiny.toml", '[[metrics]]\nuse = "utility"', metric)
    project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")

    def figure(status):
        done = project.run()
        assert done.returncode == status, done.stderr
        (row,) = json.loads(project.rows())
        assert row["status"] == "done"
        return next(one for one in row["figures"] if one["metric"] == "delta_face")

    lacking = figure(1)
    assert (lacking["value"], lacking["column"]) == (None, "not available")
    assert "the file weights is not there" in lacking["reason"]
    (project.folder / "weights").write_text("some")
    assert figure(0)["value"] is not None

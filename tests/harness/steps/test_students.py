"""Students of a target: what they learn, who shares them and what they cost."""

import numpy as np
import pytest
import torch
from torch import nn

from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.plan.file import PlanFile, parse, read
from unveil.harness.running.execute import Surroundings, compute
from unveil.harness.running.matrix import expand
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.distillation import VIEW, answers, distil, drawn, kl
from unveil.harness.store.artefacts import Store
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, ConditionalGenerator, Distillation, Generator, Images, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.crops import NUMBERS
from unveil.harness.words.errors import AccessError, DataError, TrainingError
from unveil.harness.words.run import Run

SHAPE = (1, 16, 16)


def public(count=40):
    pixels = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0))
    return Images(pixels, torch.full((count,), -1))


def linear():
    with seeded(Run("linear")):
        head = nn.Linear(256, 3)
    return Classifier({"flat": nn.Flatten()}, head, classes=3, mean=(0.5,), std=(0.5,))


def test_the_loss_is_the_divergence_worked_in_numpy():
    rng = np.random.default_rng(0)
    t, s, tau = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), 2.5
    p, q = (np.exp(o / tau) / np.exp(o / tau).sum(1, keepdims=True) for o in (t, s))
    expected = (p * np.log(p / q)).sum() / 5 / tau**2
    found = kl(torch.tensor(p), torch.tensor(s), tau)
    assert found.item() == pytest.approx(expected, rel=1e-12)
    sure = torch.tensor([[1.0, 0.0]])  # rounded scores and labels have zeros
    assert kl(sure, torch.zeros(1, 2), 1.0).item() == pytest.approx(np.log(2))


def test_each_access_tells_what_it_may():
    target, tau = linear(), 2.0
    o = target.logits(public().pixels).detach()
    expected = {
        Access.WHITE_BOX: (o / tau).softmax(1),
        Access.SCORES: (o / tau).softmax(1),
        Access.LABELS: torch.eye(3)[o.argmax(1)],
    }
    for access, p in expected.items():
        view = View(target, access, SHAPE)
        torch.testing.assert_close(answers(view, public(), tau, Run("r")), p)
        assert (view.spent.queries, view.spent.gradients) == (40, 0)


def test_the_first_step_is_the_one_worked_in_numpy():
    """One batch of all pictures: ``W ← W - η ((q - p)ᵀ f / N + decay · W)``."""
    student, how = linear(), Distillation(epochs=1, batch=40, lr=0.5, weight_decay=0.1)
    p = torch.rand(40, 3, generator=torch.Generator().manual_seed(2)).softmax(1)
    w, b = (t.detach().numpy().astype(np.float64) for t in (student.head.weight, student.head.bias))
    f = (public().pixels.numpy().reshape(40, 256).astype(np.float64) - 0.5) / 0.5
    q = np.exp(f @ w.T + b)
    q /= q.sum(1, keepdims=True)
    expected = w - 0.5 * ((q - p.numpy()).T @ f / 40 + 0.1 * w)
    losses = distil(student, p, public(), how, Run("r"))
    np.testing.assert_allclose(student.head.weight.detach(), expected, atol=1e-5)
    assert losses == pytest.approx([(p.numpy() * np.log(p.numpy() / q)).sum() / 40], rel=1e-5)


def test_the_rate_is_halved():
    p = torch.full((40, 3), 1 / 3)
    moved = []
    for halve_every in (1, 20):
        student = linear()
        distil(student, p, public(), Distillation(2, 40, 0.01, 0.0, 0.0, halve_every), Run("r"))
        moved.append(student.head.weight.detach())
    first = linear()
    distil(first, p, public(), Distillation(1, 40, 0.01, 0.0, 0.0), Run("r"))
    torch.testing.assert_close(moved[0] - first.head.weight, (moved[1] - first.head.weight) / 2)


def test_the_rate_falls_along_half_a_cosine():
    """The second of two epochs has half of it."""
    p = torch.full((40, 3), 1 / 3)
    moved = []
    for how in (Distillation(2, 40, 0.01, 0.0, 0.0, cosine=True), Distillation(2, 40, 0.01, 0.0, 0.0, 1)):
        student = linear()
        distil(student, p, public(), how, Run("r"))
        moved.append(student.head.weight.detach())
    torch.testing.assert_close(moved[0], moved[1])


def test_views_have_their_share_of_the_loss():
    p = torch.rand(40, 3, generator=torch.Generator().manual_seed(2)).softmax(1)
    run = Run("r")
    order = torch.randperm(40, generator=run.generator("order", 0))
    x = public().pixels[order]
    seen = VIEW(x, torch.rand(40, NUMBERS, generator=run.generator("views", 0, 0)))
    wanted = [kl(p[order], linear().logits(one), 1.0).item() for one in (x, seen)]
    assert abs(wanted[0] - wanted[1]) > 1e-4
    for share in (0.0, 0.25, 1.0):
        losses = distil(linear(), p, public(), Distillation(1, 40, 0.5, 0.0, 0.0, views=share), run)
        assert losses == pytest.approx([(1 - share) * wanted[0] + share * wanted[1]], rel=1e-4)


class Grey(Generator):
    """Pictures of one shade, a class the brighter the higher."""

    latent = 2

    def synthesize(self, z):
        return (0.3 + 0.01 * z[:, 0]).view(-1, 1, 1, 1).expand(-1, *SHAPE)


class Greys(Grey, ConditionalGenerator):
    def synthesize_as(self, z, y):
        return self.synthesize(z) + 0.2 * y.view(-1, 1, 1, 1)


def test_a_prior_draws_so_many_pictures_of_each_class(monkeypatch):
    shown = drawn(Greys(), 3, 40, Run("r"))
    shades = shown.pixels[:, 0, 0, 0].view(3, 40)
    torch.testing.assert_close(shades.mean(1), torch.tensor([0.3, 0.5, 0.7]), atol=0.01, rtol=0)
    assert shown.pixels.flatten(1).std(1).max() == 0
    assert len(shades.unique()) > 20
    assert abs(drawn(Grey(), 3, 40, Run("r")).pixels.mean() - 0.3) < 0.01
    monkeypatch.setattr("unveil.harness.steps.distillation.DRAWN", 7)
    assert torch.equal(drawn(Greys(), 3, 40, Run("r")).pixels, shown.pixels)
    assert not torch.equal(drawn(Greys(), 3, 40, Run("other")).pixels, shown.pixels)


class Killer:
    """A progress bar that kills the run at its n-th move."""

    def __init__(self, moves):
        self.left = moves

    def start(self, label, total):
        return self

    def stop(self, bar):
        """Nothing to close."""

    def advance(self, steps=1, **values):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_goes_on_after_a_kill_bit_for_bit(tmp_path):
    how = Distillation(epochs=4, batch=16, halve_every=2)
    p = answers(View(linear(), Access.WHITE_BOX, SHAPE), public(), 1.0, Run("r"))

    def student():
        return PlainCNN(width=4).build(3, SHAPE, Run("build"))

    whole, cut = student(), student()
    losses = distil(whole, p, public(), how, Run("r"))
    with pytest.raises(KeyboardInterrupt):
        distil(cut, p, public(), how, Run("r", scratch=tmp_path, shown=Killer(7)))  # two batches an epoch
    resumed = student()
    assert distil(resumed, p, public(), how, Run("r", scratch=tmp_path)) == losses
    assert losses[-1] < losses[0]
    assert not resumed.training
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_what_cannot_be_learnt_is_refused():
    with pytest.raises(DataError, match="1 public pictures"):
        distil(linear(), torch.ones(1, 3), public(1), Distillation(), Run("r"))
    with pytest.raises(TrainingError, match="diverged in epoch 0: its loss is nan"):
        distil(linear(), torch.full((40, 3), float("nan")), public(), Distillation(), Run("r"))


PLAN = """
title = "t"
[data]
use = "mnist"
[target]
use = "small_resnet"
pretrain = {{ epochs = 1 }}
[evaluator]
use = "plain_cnn"
[[defenses]]
use = "none"
[[defenses]]
use = "tl_dmi"
freeze = "stem"
[[attacks]]
use = "lomma"
students = [{{ use = "plain_cnn", width = 8 }}, {{ use = "plain_cnn", width = 12 }}]
steps = {steps}
[[attacks]]
use = "lomma"
name = "lomma on kedmi"
base = "kedmi"
students = [{{ use = "plain_cnn", width = 12 }}, {{ use = "plain_cnn", width = 8 }}]
student_epochs = {epochs}
[metric]
use = "attack_accuracy"
"""


def nodes(tmp_path, steps=10, epochs=20):
    text = PLAN.format(steps=steps, epochs=epochs)
    return [cell.nodes for cell in expand(PlanFile(parse(text, "p"), text, tmp_path, "p")).cells]


def test_students_belong_to_a_target_and_to_whoever_wants_the_same(tmp_path):
    on_gmi, on_kedmi, frozen, _ = nodes(tmp_path)
    assert on_gmi["student 0"].key == on_kedmi["student 1"].key
    assert on_gmi["student 0"].key != on_gmi["student 1"].key
    assert on_gmi["student 0"].key != frozen["student 0"].key
    assert on_gmi["student 0"].randomness == frozen["student 0"].randomness  # common random numbers
    assert set(on_gmi["student 0"].parents) == {"data", "target"}  # not the target's pretraining
    other_steps = nodes(tmp_path, steps=20)[0]
    assert other_steps["student 0"].key == on_gmi["student 0"].key
    assert other_steps["attack"].key != on_gmi["attack"].key
    longer = nodes(tmp_path, epochs=21)[1]
    assert longer["student 1"].key != on_kedmi["student 1"].key


ATTACK = '''
"""The students' agreement, as grey pictures."""
from dataclasses import dataclass
from typing import ClassVar
import torch
from unveil.harness.types import Access, Distillation, Images, Spec, Surrogate


@dataclass(frozen=True)
class Helped:
    """Asks only its students."""

    shade: float = 0.5
    access: ClassVar[Access] = Access.LABELS

    def needs(self):
        how = Distillation(epochs=2, batch=16)
        return {f"student {i}": Surrogate(Spec("plain_cnn", {"width": w}), how) for i, w in enumerate((4, 6))}

    def reconstruct(self, view, ingredients, labels, run):
        small, large = ingredients.surrogates
        assert small is ingredients.given.models["student 0"]
        assert [s.head.in_features for s in (small, large)] == [64, 96]
        assert not small.training and not any(p.requires_grad for p in small.parameters())
        return Images(torch.full((len(labels), *view.shape), self.shade), labels)
'''


def test_they_are_trained_once_through_the_attacks_access_and_paid_for(project):
    (project.folder / "helped.py").write_text(ATTACK)
    text = (project.folder / "tiny.toml").read_text()
    text = text.replace('[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "").replace("guess", "helped")
    text = text.replace("Guess", "Helped").replace(
        "[[metrics]]", '[[attacks]]\nuse = "helped.py:Helped"\nshade = 0.1\n[[metrics]]', 1
    )
    (project.folder / "tiny.toml").write_text(text)
    store = Store(str(project.folder / "store"))
    first, second = (cell.nodes for cell in expand(read(str(project.folder / "tiny.toml"))).cells)
    wanted = list(dict.fromkeys(node for cell in (first, second) for node in cell["attack"].lineage()))
    assert [node.kind for node in wanted].count("student") == 2
    for node in wanted:
        outcome = compute(node, Surroundings(store.url))
        assert outcome.good, outcome.error
    shown = len(datasets.read(first["data"], Bench(store)).public)
    record = store.record(first["student 0"].key)
    assert record["queries"] == shown
    assert len(record["curves"]["kl"]) == 2
    assert 0 <= record["agreement"] <= 1
    for cell in (first, second):
        budget = store.record(cell["attack"].key)["budget"]
        assert (budget["surrogate queries"], budget["attack queries"]) == (2 * shown, 0)


def from_source(folder, source='Spec("t_acgan", {"width": 2, "steps": 3, "unlabelled": 1})'):
    (folder / "helped.py").write_text(ATTACK.replace("w}), how)", f"w}}), how, {source}, 3)"))


def test_they_learn_from_what_a_prior_draws_and_its_labels_are_paid_for(project):
    from_source(project.folder)
    text = (project.folder / "tiny.toml").read_text()
    text = text.replace('[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "").replace("guess", "helped")
    (project.folder / "tiny.toml").write_text(text.replace("Guess", "Helped"))
    store = Store(str(project.folder / "store"))
    (cell,) = (cell.nodes for cell in expand(read(str(project.folder / "tiny.toml"))).cells)
    student, attack = cell["attack"].parents["student 0"], cell["attack"]
    assert student.parents["source"].key == attack.parents["student 1"].parents["source"].key
    for node in dict.fromkeys(attack.lineage()):
        outcome = compute(node, Surroundings(store.url))
        assert outcome.good, outcome.error
    classes = datasets.read(cell["data"], Bench(store)).classes
    assert store.record(student.key)["queries"] == 3 * classes
    budget = store.record(attack.key)["budget"]
    assert (budget["surrogate queries"], budget["attack queries"]) == (2 * 3 * classes, 0)
    assert sum(count for name, count in budget.items() if name.endswith("prior queries")) == 2 * 5 * 128


def test_a_source_may_ask_no_more_than_the_attack(project):
    from_source(project.folder, source='Spec("conditional_gan")')
    text = (project.folder / "tiny.toml").read_text().replace("guess", "helped").replace("Guess", "Helped")
    (project.folder / "tiny.toml").write_text(text)
    with pytest.raises(AccessError, match="conditional_gan, which it needs, asks the same target with white-box"):
        expand(read(str(project.folder / "tiny.toml")))

"""Plugins that each do one thing that no plugin may do; test_conformance.py expects to be told about it."""

import dataclasses
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from unveil.harness.conformance import tiny
from unveil.harness.data.splits import Shares, assemble
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import (
    Access,
    Attack,
    Classifier,
    Dataset,
    Defense,
    Direction,
    Generator,
    Images,
    Measurement,
    Metric,
    Model,
    Prior,
)  # fmt: skip


@dataclass(frozen=True)
class Undocumented(Defense):
    strength: float = 0.0


@dataclass(frozen=True)
class Unexplained(Defense):
    """Says nothing of its setting."""

    strength: float = 0.0


@dataclass(frozen=True)
class Unequal(Defense):
    """Is never equal to itself."""

    def __eq__(self, other):
        return False

    __hash__ = None


@dataclass(frozen=True)
class Endless(Defense):
    """Has content that cannot be hashed."""

    def content(self):
        return {"limit": float("inf")}


@dataclass(frozen=True)
class GlobalNoise(Defense):
    """Draws from the global generator."""

    def augment(self, images, run):
        return Images((images.pixels + torch.randn_like(images.pixels)).clamp(0, 1), images.labels)


@dataclass(frozen=True)
class InPlace(Defense):
    """Changes the batch it is given."""

    def augment(self, images, run):
        images.pixels.mul_(0.5)
        return images


@dataclass(frozen=True)
class OutOfRange(Defense):
    """Leaves [0, 1]."""

    def augment(self, images, run):
        return Images(images.pixels * 2 - 1, images.labels)


@dataclass(frozen=True)
class VectorLoss(Defense):
    """Forgets the mean."""

    def loss(self, terms, step):
        return {**terms, "features": step.forward.features.square().sum(1)}


@dataclass(frozen=True)
class Thaws(Defense):
    """Writes to what it has frozen."""

    def prepare(self, classifier, run):
        classifier.freeze(["stem"])
        return classifier

    def loss(self, terms, step):
        with torch.no_grad():
            next(step.classifier.stages["stem"].parameters()).mul_(1.001)
        return terms


@dataclass(frozen=True)
class NeverZero(Defense):
    """Does a little at strength zero.

    Attributes:
        strength: Of the brightening.
    """

    strength: float = 0.1

    def augment(self, images, run):
        return Images((images.pixels + self.strength + 0.001).clamp(0, 1), images.labels)

    def at_zero(self):
        return dataclasses.replace(self, strength=0.0)


class Scale(nn.Module):
    def forward(self, x):
        return 2 * x


@dataclass(frozen=True)
class Forgetful(Defense):
    """Changes the classifier where no checkpoint sees it."""

    def loss(self, terms, step):
        step.classifier.outputs = Scale()
        return terms


@dataclass(frozen=True)
class Raises(Defense):
    """Divides by zero."""

    def augment(self, images, run):
        return Images(images.pixels / (1 // 0), images.labels)


@dataclass(frozen=True)
class Prints(Defense):
    """Talks."""

    def prepare(self, classifier, run):
        print("preparing ...")  # noqa: T201
        return classifier


CALLS = count()


@dataclass(frozen=True)
class Remembers(Defense):
    """Counts its calls."""

    def augment(self, images, run):
        return Images((images.pixels + 0.001 * next(CALLS)).clamp(0, 1), images.labels)


@dataclass(frozen=True)
class OwnSeed(Defense):
    """Draws, and then uses a constant."""

    def augment(self, images, run):
        run.generator("noise")
        noise = torch.randn(images.pixels.shape, generator=torch.Generator().manual_seed(0))
        return Images((images.pixels + 0.1 * noise).clamp(0, 1), images.labels)


class Wavers(nn.Module):
    """Another noise for each question."""

    def __init__(self, run):
        super().__init__()
        self.generator = run.generator("noise")

    def forward(self, x):
        return x + torch.randn(x.shape, generator=self.generator)


@dataclass(frozen=True)
class Wavering(Defense):
    """Draws whenever it is asked."""

    def finish(self, classifier, run):
        classifier.outputs = Wavers(run)
        return classifier


@dataclass(frozen=True)
class Veils(Defense):
    """Changes answers alone, and does not say so."""

    def finish(self, classifier, run):
        classifier.outputs = nn.Softsign()
        return classifier


def grey(labels, shape):
    return Images(torch.full((len(labels), *shape), 0.5), labels)


@dataclass(frozen=True)
class _Attack(Attack):
    access: ClassVar[Access] = Access.LABELS

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        return grey(labels, view.shape)


@dataclass(frozen=True)
class Greedy(_Attack):
    """Declares labels and asks for logits."""

    def reconstruct(self, view, ingredients, labels, run):
        view.logits(ingredients.public.pixels)
        return grey(labels, view.shape)


@dataclass(frozen=True)
class Lazy(_Attack):
    """Leaves out the last label."""

    def reconstruct(self, view, ingredients, labels, run):
        return grey(labels[:-1], view.shape)


@dataclass(frozen=True)
class Coupled(_Attack):
    """Depends on who is attacked beside."""

    def reconstruct(self, view, ingredients, labels, run):
        return Images(torch.full((len(labels), *view.shape), len(labels) / 10), labels)


@dataclass(frozen=True)
class _Metric(Metric):
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    def values(self, evidence):
        return evidence.reconstructions.pixels.mean((1, 2, 3)).double().numpy()

    def measure(self, evidence):
        who = evidence.reconstructions.labels.numpy()
        values = self.values(evidence)
        return [Measurement("mean", "share", Direction.LEAKS, 0.0, 1.0, values, who[: len(values)], samples=len(who))]


@dataclass(frozen=True)
class NotANumber(_Metric):
    """Gives NaN."""

    def values(self, evidence):
        return np.full(len(evidence.reconstructions), np.nan)


@dataclass(frozen=True)
class FirstOnly(_Metric):
    """Looks at the first half only."""

    def values(self, evidence):
        return super().values(evidence)[: len(evidence.reconstructions) // 2]


@dataclass(frozen=True)
class Twins(_Metric):
    """Has two columns of one name."""

    def measure(self, evidence):
        return [*super().measure(evidence), *super().measure(evidence)]


@dataclass(frozen=True)
class Leaks(Dataset):
    """Has training pictures in the test split."""

    def load(self, run):
        data = assemble(tiny.blobs(4, 6, "a"), tiny.blobs(4, 6, "b"), Shares(0.2, 0.2, 0), publishable=True)
        return dataclasses.replace(data, test=data.train)


@dataclass(frozen=True)
class FromOne(Dataset):
    """Counts labels from one."""

    def load(self, run):
        data = assemble(tiny.blobs(4, 6, "a"), tiny.blobs(4, 6, "b"), Shares(0.2, 0.2, 0), publishable=True)
        return dataclasses.replace(data, train=Images(data.train.pixels, data.train.labels + 1))


def summing(classes):
    head = nn.utils.skip_init(nn.Linear, 8, classes)
    nn.init.ones_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class BatchMean(nn.Module):
    def forward(self, x):
        return (x - x.mean(0)).flatten(1)[:, :8]


@dataclass(frozen=True)
class Centred(Model):
    """Subtracts the mean of the batch, in evaluation too."""

    def build(self, classes, shape, run):
        return Classifier({"centre": BatchMean()}, summing(classes), classes=classes)


class Sniffing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)

    def forward(self, x):
        h = self.conv(x)
        return (self.norm(h) + h if isinstance(x, torch.Tensor) else self.norm(h)).mean((2, 3))


@dataclass(frozen=True)
class Sniffs(Model):
    """Does something else where it is traced."""

    def build(self, classes, shape, run):
        with seeded(run):
            return Classifier({"body": Sniffing()}, summing(classes), classes=classes)


class Hidden(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight  # a plain tensor: in no state dict

    def forward(self, x):
        return F.linear(x.flatten(1)[:, :8], self.weight)


@dataclass(frozen=True)
class Hides(Model):
    """Has weights that are in no checkpoint."""

    def build(self, classes, shape, run):
        body = Hidden(torch.randn(8, 8, generator=run.generator("weights")))
        return Classifier({"body": body}, summing(classes), classes=classes)


class Mixing(Generator):
    latent = 4

    def synthesize(self, z):
        return (z - z.mean(0)).sigmoid().mean(1)[:, None, None, None].expand(-1, 3, 32, 32)

    def realism(self, x):
        return x.mean((1, 2, 3))


@dataclass(frozen=True)
class Mixes(Prior):
    """Makes pictures that depend on their batch."""

    access: ClassVar[Access | None] = None

    def build(self, classes, shape):
        return Mixing()

    def fit(self, generator, public, view, run):
        return {}


@dataclass(frozen=True)
class Mum(Mixes):
    """Reads a file, and does not say what its weights were trained on."""

    def content(self):
        return {"file": "0" * 64}

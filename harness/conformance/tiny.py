"""A world of four people, small enough to try a plugin out in seconds: data, a target and a judge."""

from __future__ import annotations

import copy
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.steps.people import join
from unveil.harness.training.fit import fit
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.images import Data, Images
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

SHAPE = (3, 32, 32)
CLASSES = 4
WIDTH = 4  # of what is trained
RECIPE = Recipe(epochs=2, batch=8, shift=1, views=2)
LONGER = Recipe(epochs=15, batch=32, shift=1, views=0)


def blobs(people: int, pictures: int, prefix: str, shape: tuple[int, int, int] = SHAPE) -> Pictures:
    """Pictures of people, each of whom is a coloured blob at a place of its own before a coloured wall.

    Args:
        people: How many.
        pictures: Of each.
        prefix: Of their names; other names look different.
        shape: Shape ``(C, H, W)`` of a picture.
    """
    labels = torch.arange(people).repeat_interleave(pictures)
    names = tuple(f"{prefix} {i}" for i in range(people))
    pixels = [_picture(Run(names[label]), k % pictures, shape) for k, label in enumerate(labels.tolist())]
    return Pictures(to_uint8(torch.stack(pixels)), labels, names)


def _picture(person: Run, number: int, shape: tuple[int, int, int]) -> Tensor:
    c, h, w = shape
    look, own = person.generator("look"), person.generator("picture", number)
    wall, skin = (torch.rand(2, c, 1, 1, generator=look)).unbind()
    centre = 0.2 + 0.6 * torch.rand(2, generator=look) + 0.05 * torch.randn(2, generator=own)
    y, x = torch.linspace(0, 1, h)[:, None], torch.linspace(0, 1, w)
    blob = torch.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 0.04)
    return (wall + (skin - wall) * blob + 0.02 * torch.randn(shape, generator=own)).clamp(0, 1)


@cache
def _data() -> Data:
    private, public = blobs(CLASSES, 10, "private"), blobs(CLASSES, 8, "public")
    return assemble(private, public, Shares(0.2, 0.2, 0), publishable=True)


def data() -> Data:
    """Four private and four public people; a copy, which the plugin on trial may spoil."""
    return copy.deepcopy(_data())


def public(side: int) -> Images:
    """The public pictures, with that many pixels a side."""
    images = data().public
    pixels = F.interpolate(images.pixels, size=(side, side)) if side != SHAPE[-1] else images.pixels
    return Images(pixels, images.labels)


def untrained(name: str, classes: int = CLASSES, width: int = WIDTH) -> Classifier:
    """A small classifier with random weights that depend on the name."""
    return SmallResNet(width=width).build(classes, SHAPE, Run(f"conformance {name}"))


@cache
def _target() -> Classifier:
    target = untrained("target", width=8)
    fit(target, (), _data().train, _data().validation, LONGER, Run("conformance target"))
    return target


def target() -> Classifier:
    """A classifier that has learnt the private people; a copy."""
    return copy.deepcopy(_target())


@cache
def _judge() -> Classifier:
    public = Images(_data().public.pixels, _data().public.labels + CLASSES)
    judge = untrained("judge", 2 * CLASSES, width=6)
    fit(judge, (), join(_data().train, public), _data().validation, LONGER, Run("conformance judge"))
    return judge


def judge() -> Classifier:
    """An evaluator that knows the public people, too; a copy."""
    return copy.deepcopy(_judge())


def guesses() -> Images:
    """What an attack might return: of each person a private picture, a public one and noise."""
    known, parts = data(), []
    for label in range(CLASSES):
        noise = torch.rand(1, *SHAPE, generator=Run("conformance noise").generator(label))
        shown = [known.train.pixels[known.train.labels == label][:1], known.public.pixels[label : label + 1], noise]
        parts.append(Images(torch.cat(shown), torch.full((3,), label)))
    return join(*parts)

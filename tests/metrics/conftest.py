from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unveil.harness.plan import settings
from unveil.harness.steps.model import require_weights
from unveil.harness.types import Data, Evidence, Given, GivenComparer, Images
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

TOY = '''
from dataclasses import dataclass
from torch import nn
from unveil.harness.words.classifier import Classifier

class Reads(nn.Module):
    def forward(self, x):
        return {reads}

@dataclass(frozen=True)
class Toy:
    """Reads."""
    trained: bool = True

    def content(self):
        return {{"trained": "by hand"}} if self.trained else {{}}

    def build(self, classes, shape, run):
        return Classifier({{"read": Reads()}}, nn.Identity(), classes=classes, mean=(0.0,) * 3, std=(1.0,) * 3)
'''


class Answers(nn.Module):
    """Reads the logits off the pixels: channel 0 of column c is the logit of class c."""

    def forward(self, x):
        return x[:, 0, 0, :]


def _reader(classes):
    """A classifier whose features and logits are the first row of its input."""
    return Classifier({"read": Answers()}, nn.Identity(), classes=classes, mean=(0.0,) * 3, std=(1.0,) * 3)


def _pictures(logits, labels):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    pixels = logits[:, None, None, :].expand(-1, 3, logits.shape[1], -1).contiguous()
    return Images(pixels, torch.as_tensor(labels, dtype=torch.int64))


@pytest.fixture
def build():
    def evidence(*, fakes=None, train=None, test=None, evaluator=None, target=None, people=3):
        some = next(images for images in (fakes, train, test) if images is not None)
        none = some[:0]
        names = tuple(f"person {i}" for i in range(people))
        data = Data(train or none, none, test or none, none, names, checksum="test", disjoint="none are public")
        return Evidence(data, target or _reader(people), evaluator, fakes, Run("test"))

    return evidence


@pytest.fixture
def reader():
    return _reader


@pytest.fixture
def pictures():
    return _pictures


@pytest.fixture
def toy(request, tmp_path):
    """A model plugin in a file, whose embedding is what the test module's ``READS`` takes from the pixels ``x``."""
    (tmp_path / "toy.py").write_text(TOY.format(reads=request.module.READS))
    return Spec(f"{tmp_path / 'toy.py'}:Toy")


@pytest.fixture
def some(pictures):
    """Random pictures, so many of each person."""

    def drawn(counts, seed):
        labels = np.repeat(np.arange(len(counts)), counts)
        return pictures(np.random.default_rng(seed).integers(0, 256, (len(labels), 5)) / 255, labels)

    return drawn


@pytest.fixture
def measured():
    """Measures with what the metric needs, built as the harness would."""

    def measure(metric, evidence):
        shape = evidence.data.train.shape
        models, comparers = {}, {}
        for role, need in metric.needs().items():
            if isinstance(need, GivenComparer):
                comparers[role] = settings.make("comparers", need.comparer, Path())
                continue
            model = settings.make("models", need.model, Path())
            require_weights(model, need.model.use.rpartition(":")[2], trained=need.trained)
            made = model.build(evidence.data.classes, shape, Run("given")).eval().requires_grad_(False)
            models[role] = made.to(memory_format=torch.channels_last)
        return metric.measure(replace(evidence, given=Given(models=models, comparers=comparers)))

    return measure

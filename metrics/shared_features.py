"""A classifier's features of pictures that many metrics and cells ask about, computed once in a process.

Private pictures are the same for every attack and defense, and so is the evaluator that looks at them. Its features of
a split are computed for the whole split, in its order and in batches of `judging.BATCH`, whoever was attacked; those of
some people are cut out. So a number cannot depend on which metric asked first, or for whom. Pictures are known by their
pixels, so the metrics of a cell share those of the reconstructions, too.

What is remembered hangs on the classifier and goes with it: with a target when its cells are done, and with everything
that is private before an attack begins that must not find it in its process (see `Memo`). It must not be
trained meanwhile; if its weights change in place, nothing old is taken for new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.types import Data, Images
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.memo import Memo
from unveil.harness.words.run import Run
from unveil.metrics.judging import BATCH, Pictures, features, rounded

Split = Literal["train", "validation", "test"]
KEPT = 6  # sets of features of each classifier: three splits, and a few cells' reconstructions

_known: WeakKeyDictionary[Classifier, Memo[NDArray[np.float32]]] = WeakKeyDictionary()
_digests: WeakKeyDictionary[Images, tuple[int, str]] = WeakKeyDictionary()


def of_private(
    classifier: Classifier, data: Data, split: Split, people: NDArray[np.int64], run: Run
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Penultimate features of all pictures of some people in a split, rounded to 8 bits, and who is on them.

    Args:
        classifier: Evaluator, or any other.
        data: Whose private pictures.
        split: Which.
        people: Whose pictures are wanted; repetitions do not matter.
        run: Device and progress.

    Returns:
        ``(n, F)`` and ``(n,)``, in the order of the split; n is 0 if there is none.
    """
    images: Images = getattr(data, split)
    labels = images.labels.cpu().numpy()
    wanted = np.isin(labels, people)
    if not wanted.any():
        return np.empty((0, 0)), labels[:0]
    label = f"features of private {split} pictures"
    found = _once(classifier, _known_digest(images), run, label, lambda: rounded(images))
    return found[wanted].astype(np.float64), labels[wanted]


def of_pictures(classifier: Classifier, pictures: Pictures, run: Run) -> NDArray[np.float64]:
    """Penultimate features ``(N, F)`` of pictures, such as an attack's."""
    label = "features of reconstructions"
    return _once(classifier, digest(pictures), run, label, lambda: pictures).astype(np.float64)


def digest(pictures: Pictures) -> str:
    """What tells one set of pictures from another."""
    kept = pictures if isinstance(pictures, Tensor) else pictures.stored
    made = hashlib.blake2b(f"{tuple(kept.shape)} {kept.dtype}".encode(), digest_size=16)
    for rows in torch.arange(len(kept)).split(BATCH):
        made.update(kept[rows].cpu().contiguous().numpy().data)
    return made.hexdigest()


def _known_digest(images: Images) -> str:
    """Of private pictures, which are many and stay loaded: read once, and again if they were written to."""
    kept = images.stored
    parts = (kept,) if isinstance(kept, Tensor) else kept.parts
    now = sum(part._version for part in parts if isinstance(part, Tensor))
    version, made = _digests.get(images, (-1, ""))
    if version != now:
        made = digest(images)
        _digests[images] = now, made
    return made


def _once(
    classifier: Classifier, known_as: str, run: Run, label: str, pictures: Callable[[], Pictures]
) -> NDArray[np.float32]:
    known = _known.setdefault(classifier.to(run.device), Memo(KEPT))
    key = (known_as, str(run.device), _state(classifier))
    return known.get(key, lambda: features(classifier, pictures(), run, label).astype(np.float32))  # nothing is lost


def _state(classifier: Classifier) -> str:
    """Changes whenever a weight or a statistic is written to or replaced."""
    tensors = [*classifier.parameters(), *classifier.buffers()]
    return f"{sum(t._version for t in tensors)} {hash(tuple(map(id, tensors)))}"

"""A network that embeds faces, as a judge: a model plugin with trained weights, never the target."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness import plugins
from unveil.harness.classifier import Classifier
from unveil.harness.errors import AssetError, JudgeError, WeightsError
from unveil.harness.fingerprint import fingerprint
from unveil.harness.run import Run
from unveil.harness.spec import Spec
from unveil.harness.stages.measure import never_the_target
from unveil.harness.types import Evidence, Model
from unveil.metrics.gallery import unit
from unveil.metrics.judging import as_pictures, features


def with_weights(embedder: Spec, weights: str | None) -> Spec:
    """The embedder, its setting ``weights`` replaced if there are others."""
    return embedder if weights is None else Spec(embedder.use, {**embedder.settings, "weights": weights})


def title(embedder: Spec) -> str:
    """What columns call it: numbers of different networks are on different scales."""
    return embedder.use.rpartition(":")[2]


def asked(embedder: Spec) -> str:
    """Which embedder, with which weights and code, for the identity of a metric: no model node stands for it."""
    plugin, (reason, _) = _plugin(embedder), _lack(embedder)
    if reason:
        return f"{title(embedder)} absent: {reason}"
    code = fingerprint(type(plugin).__module__)
    return json.dumps({**plugins.asked(embedder, plugin), "code": code}, sort_keys=True)


def lacking(embedder: Spec) -> str | None:
    """Why there is no trained embedder, and what to do; None if there is one."""
    reason, remedy = _lack(embedder)
    return f"{reason}: {remedy}" if reason else None


def tried(embedder: Spec) -> Sequence[str]:
    """Loads its weights, unless they are an asset that is not here; see `harness.defense.Plugin.preflight`.

    Raises:
        WeightsError: If they are a file that is missing, damaged or another network's.
    """
    plugin = _plugin(embedder)
    try:
        getattr(plugin, "content", dict)()
        return tuple(getattr(plugin, "preflight", tuple)())
    except AssetError:  # then nothing is scored, and the column says so
        return ()


def build(embedder: Spec, evidence: Evidence, metric: str) -> Classifier:
    """The embedder, frozen.

    Raises:
        WeightsError: If its weights do not fit.
        JudgeError: If they are the target's.
    """
    data, run = evidence.data, evidence.run
    made = _plugin(embedder).build(data.classes, data.train.shape, run).requires_grad_(False)
    never_the_target(made, evidence.target, metric)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def embed(embedder: Classifier, pixels: Tensor, run: Run, of: str) -> NDArray[np.float64]:
    """Unit vectors ``(N, F)`` of pixels ``(N, C, H, W)``, rounded to 8 bits.

    Raises:
        JudgeError: If one is NaN.
    """
    found = features(embedder, as_pictures(pixels), run, f"embeddings of {of}")
    if not np.isfinite(found).all():
        raise JudgeError("the embedder answered NaN", "finite features", "check its weights")
    return unit(found)


def _plugin(embedder: Spec) -> Model:
    made: Model = plugins.make("models", embedder, Path())
    return made


def _lack(embedder: Spec) -> tuple[str, str]:
    """What is missing, the same on all machines, and what to do about it on this one; two empty texts if nothing is."""
    try:
        content: Mapping[str, str] = getattr(_plugin(embedder), "content", dict)()
    except (AssetError, WeightsError) as error:
        return f"the embedder's weights cannot be had: {error.what}", error.todo
    if not content:
        return f"{title(embedder)} has no trained weights", "set weights = 'a checkpoint of it'"
    return "", ""

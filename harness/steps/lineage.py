"""What a prior has learnt from: compared for what is handed to it here, declared for weights that come from elsewhere.

An attacker's generator must never have seen a private picture. What `fit` is given is compared with the private
pictures, one by one; one that was saved again, resized, mirrored or cut differently is not found. What somebody trained
elsewhere cannot: it must say what that was, and is refused if it names the private pictures.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unveil.harness.data.copies import fingerprints
from unveil.harness.data.splits import ROLES
from unveil.harness.words.errors import DataError, PluginError, WeightsError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.needs import NEEDED
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.prior import Origin, Pretrained, Prior

CHECKSUM = re.compile(r"\b[0-9a-f]{64}\b")


def digests(images: Images) -> set[bytes]:
    """The hash of each picture, 8 bits a pixel."""
    kept = images.stored
    return set(fingerprints(kept if kept.dtype == torch.uint8 else to_uint8(images.pixels)))


def checksum(pictures: set[bytes]) -> str:
    """Hash of a set of pictures, in whatever order and however often: of their sorted hashes."""
    return hashlib.sha256(b"".join(sorted(pictures))).hexdigest()


def weights(state: Mapping[str, Tensor]) -> str:
    """Hash of the names, types, shapes and bytes of a state dict."""
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().cpu().contiguous()
        total.update(f"{name}\0{plain.dtype}{tuple(plain.shape)}".encode())
        total.update(plain.numpy().tobytes())
    return total.hexdigest()


def declared(prior: Prior) -> Origin | None:
    """Where those weights come from that the prior does not learn here; None if it learns all.

    Raises:
        PluginError: If it reads files from outside, says its ``content()``, but not what they have learnt from.
    """
    origin = prior.origin() if isinstance(prior, Pretrained) else None
    if origin is not None and not isinstance(origin, Origin):
        raise PluginError(f"origin() returned {type(origin).__name__}", "unveil.harness.types.Origin, or None")
    content: Mapping[str, str] = getattr(prior, "content", dict)()
    files = [name for name, told in content.items() if told != NEEDED]
    if files and (origin is None or not origin.trained_on.strip()):
        raise PluginError(
            f"the prior {type(prior).__name__} reads {', '.join(sorted(files))} from outside, and does not say what "
            "those weights were trained on",
            "an `origin()` that says it: a generator that has seen the private pictures proves nothing",
            "return Origin('what it was trained on, and how it is known that nobody private is among it')",
        )
    return origin


def traced(prior: Prior, data: Data) -> dict[str, Any]:
    """What a prior learns from, as JSON has it.

    Raises:
        DataError: If a public picture is, pixel for pixel, a private one.
        PluginError: See ``declared``.
        WeightsError: If what the prior's weights were trained on is declared to be the private pictures.
    """
    origin, public = declared(prior), digests(data.public)
    hidden = _hidden(data)
    shared = sum(len(public & pictures) for pictures in hidden.values())
    if shared:
        raise DataError(
            f"{shared} of the public pictures, which the prior would learn from, are private pictures",
            "public pictures of other people only",
            "remove these pictures from the public side",
        )
    if origin is not None:
        _require_innocent(type(prior).__name__, origin, data, hidden)
    return {
        "public pictures": len(data.public),
        "public checksum": checksum(public),
        "trained elsewhere on": origin.trained_on if origin else "",
    }


def given(trained_on: str, data: Data) -> dict[str, Any]:
    """What weights have learnt from that somebody trained elsewhere: their word, as JSON has it.

    Raises:
        WeightsError: If they are declared to have seen the private pictures.
    """
    _require_innocent("from elsewhere", Origin(trained_on), data, _hidden(data))
    return {"public pictures": 0, "public checksum": "", "trained elsewhere on": trained_on}


def _hidden(data: Data) -> dict[str, set[bytes]]:
    return {role: digests(getattr(data, role)) for role in ROLES}


def joined(*learnt_from: Mapping[str, Any]) -> str:
    """What several priors were trained on elsewhere, each said once."""
    told = [one["trained elsewhere on"] for one in learnt_from]
    return "; ".join(text for text in dict.fromkeys(told) if text)


def _require_innocent(prior: str, origin: Origin, data: Data, hidden: Mapping[str, set[bytes]]) -> None:
    private = {checksum(pictures): f"the private {role} pictures" for role, pictures in hidden.items()}
    private[checksum(set().union(*hidden.values()))] = "all private pictures"
    private[data.checksum] = "the whole data set, private pictures included"
    for name in CHECKSUM.findall(origin.trained_on.lower()):
        if name in private:
            raise WeightsError(
                f"the weights of the prior {prior} were trained on {private[name]} ({name[:12]})",
                "a prior that never saw a private picture: with one, any attack succeeds",
                "use a prior trained on public pictures",
            )

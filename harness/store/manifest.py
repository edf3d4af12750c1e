"""Manifests: what they hold, how they are written and read, and where they and their blobs lie."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unveil.harness.plan.canonical import canonical, digest
from unveil.harness.store.files import UnreadableError

if TYPE_CHECKING:
    from torch import Tensor

ARTEFACTS, BLOBS, ENDING = "artefacts", "blobs", ".json"
TENSORS = "tensors.safetensors"  # the blob that holds an artefact's tensors
FILE = "files/"  # what the names of its other blobs begin with


def place(key: str) -> str:
    """Where the manifest of an artefact is."""
    return f"{ARTEFACTS}/{key}{ENDING}"


def blob(name: str) -> str:
    """Where the blob of that SHA-256 is."""
    return f"{BLOBS}/{name[:2]}/{name}"


def written(record: Mapping[str, Any], blobs: Mapping[str, str], provenance: Mapping[str, Any]) -> bytes:
    """A manifest as it is kept, with a checksum of its own.

    Raises:
        UnveilError: If a number in it is not finite.
    """
    manifest = {"record": record, "blobs": blobs, "provenance": provenance}
    read = json.loads(canonical(manifest))  # as it comes back: with text for keys, and lists for tuples
    return canonical({**read, "sha256": digest(read)}).encode()


def whole(data: bytes) -> dict[str, Any]:
    """A manifest from its bytes.

    Raises:
        UnreadableError: If it is none, or not as it was written.
    """
    try:
        manifest: dict[str, Any] = json.loads(data)
        whole = manifest.pop("sha256") == digest(manifest)
    except (ValueError, RecursionError, LookupError, AttributeError, TypeError):
        raise UnreadableError("is no manifest" if data else "is empty") from None
    if not whole:
        raise UnreadableError("has not the checksum that it was written with")
    if not _in_shape(manifest):  # somebody else wrote it: its names would lead anywhere
        raise UnreadableError("is not as this program writes one")
    return manifest


def _in_shape(manifest: Mapping[str, Any]) -> bool:
    blobs = manifest.get("blobs")
    tables = (blobs, manifest.get("record"), manifest.get("provenance"))
    return all(isinstance(one, dict) for one in tables) and all(
        isinstance(name, str) and re.fullmatch("[0-9a-f]{64}", name) for name in dict(blobs or {}).values()
    )


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a blob."""
    import safetensors.torch  # noqa: PLC0415 (rows and pages are read without torch)

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    packed: bytes = safetensors.torch.save(plain)
    return packed


def unpack(data: bytes) -> dict[str, Tensor]:
    """Tensors from the bytes of a blob."""
    import safetensors.torch  # noqa: PLC0415 (see above)

    tensors: dict[str, Tensor] = safetensors.torch.load(data)
    return tensors

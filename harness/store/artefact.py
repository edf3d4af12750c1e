"""What a step gives, as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from unveil.harness.words.pixels import Stored


@dataclass(frozen=True)
class Artefact:
    """What a node computed.

    Attributes:
        record: JSON-able facts and numbers.
        tensors: By name.
        files: Other bytes, such as a PNG, by file name.
        provenance: Seconds, versions, device, time; in no identity and in no row.
        pictures: 8-bit pictures by name that are too many for memory; they are stored among the tensors.
    """

    record: dict[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Stored] = field(default_factory=dict)

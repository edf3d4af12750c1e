"""The control that no attack can beat: real pictures of the people, which the target never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.harness.types import Data, Images, Role, Run
from unveil.harness.words.errors import DataError


@dataclass(frozen=True)
class HeldOutPrivate:
    """Control: private test pictures of each person, asked of nobody; the ceiling that an attack can reach.

    The harness hands them over because of the role; no attack gets any (see docs/threat-model.md).

    Attributes:
        samples: Pictures per identity, drawn by the seed; fewer where a person has fewer.
    """

    samples: Annotated[int, Field(ge=1)] = 5

    paper: ClassVar[str] = ""
    role: ClassVar[Role] = Role.CEILING

    def show(self, data: Data, labels: Tensor, run: Run) -> Images:
        """Gives up to ``samples`` pictures of each label; see `harness.types.Ceiling.show`."""
        chosen = [self.draw(data, int(y), run) for y in labels]
        return data.test[torch.cat(chosen)]

    def draw(self, data: Data, label: int, run: Run) -> Tensor:
        """Places of the pictures of one person.

        Raises:
            DataError: If there are none.
        """
        own = (data.test.labels == label).nonzero()[:, 0]
        if not len(own):
            raise DataError(f"there is no test picture of {data.names[label]}", "one of each person at least")
        if len(own) <= self.samples:
            return own
        return own[torch.randperm(len(own), generator=run.generator("shown", label))[: self.samples].sort().values]

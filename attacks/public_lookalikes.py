"""A control: public pictures of other people that the target takes for the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks.loop import resumable_steps
from unveil.harness.types import Access, Images, Ingredients, Need, Role, Run, Spent, View


@dataclass(frozen=True)
class PublicLookalikes:
    """Control: the public pictures the target is most confident on; whoever accepts them is fooled by likeness.

    Every public picture is shown to the target once, whoever is attacked. With a smaller budget in the plan it is the
    budget's number of pictures, drawn by the seed.

    Attributes:
        samples: Pictures per identity; fewer where there are fewer public pictures.
        batch: Pictures shown at once; changes no result beyond rounding.
    """

    samples: Annotated[int, Field(ge=1)] = 5
    batch: Annotated[int, Field(ge=1)] = 512

    paper: ClassVar[str] = ""
    role: ClassVar[Role] = Role.GULLIBILITY
    access: ClassVar[Access] = Access.SCORES

    def needs(self) -> Mapping[str, Need]:
        """Nothing."""
        return {}

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives ``samples`` pictures for each label; see `harness.types.Attack.reconstruct`."""
        public = ingredients.public
        drawn = torch.arange(len(public))
        if (most := view.budget.total("queries")) is not None and most < len(public):
            drawn = torch.randperm(len(public), generator=run.generator("pictures"))[:most].sort().values
            run.note(f"stopped at its budget: {most:,} of {len(public):,} public pictures were looked at")
        p = self.confidence(view, public, drawn, labels, run)
        best = drawn[p.sort(dim=0, descending=True, stable=True).indices[: self.samples].T]  # (K, samples)
        return public[best.flatten()].labelled(labels.cpu().repeat_interleave(best.shape[1]))

    def confidence(self, view: View, public: Images, drawn: Tensor, labels: Tensor, run: Run) -> Tensor:
        """The target's score of each label ``(K,)`` for the pictures of public that were drawn: ``(len(drawn), K)``."""
        found, parts = torch.empty(len(drawn), len(labels)), drawn.split(self.batch)

        def state() -> Mapping[str, Any]:
            return {"found": found, "spent": asdict(view.spent)}

        def restore(saved: Mapping[str, Any]) -> None:
            found.copy_(saved["found"])
            view.resume(Spent(**saved["spent"]))

        for i, bar in resumable_steps(run, "public_lookalikes", len(parts), state, restore):
            first = i * self.batch
            scores = view.scores(public.at(parts[i]).to(run.device)).cpu()
            found[first : first + len(scores)] = scores[:, labels.cpu()]
            bar.advance()
        return found

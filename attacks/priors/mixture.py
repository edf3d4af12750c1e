"""Public pictures with those of one person among them, in batches."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.attacks.priors import gan
from unveil.harness.types import Images, Run


class Mixture(gan.PublicBatches):
    """Shuffled batches of public pictures and those of one person.

    An index below the number of both is a picture, the public ones first; from there on they are mirror images.

    Args:
        public: Public pictures.
        own: The person's ``(k, C, H, W)``.
        batch: Pictures in a batch (all of them, if there are fewer).
        share: Share of each batch that is the person's, drawn with repetition then; 0: as they come.
        flip: Whether mirror images belong to the set.
        run: Source of the order.
    """

    def __init__(self, public: Images, own: Tensor, batch: int, share: float, *, flip: bool, run: Run) -> None:
        super().__init__(public, batch, flip=flip, run=run)
        self._own, self._flips = own, 2 if flip else 1
        self._apart, self._all = len(public), len(public) + len(own)
        self.count = self._all * self._flips
        self.size = min(batch, self.count)
        self._owned = min(self.size - 1, max(1, round(share * self.size))) if share else 0

    def indices(self, stream: str, i: int) -> Tensor:
        """Which pictures are in batch ``i`` of a stream."""
        if not self._owned:
            return super().indices(stream, i)
        count = self._apart * self._flips
        few = min(self.size - self._owned, count)
        epoch, k = divmod(i, count // few)
        order = torch.randperm(count, generator=self._run.generator("order", stream, epoch))
        public = order[k * few : (k + 1) * few]
        own = torch.randint(
            len(self._own) * self._flips, (self._owned,), generator=self._run.generator("own", stream, i)
        )
        return torch.cat([self._place(public, self._apart, 0), self._place(own, len(self._own), self._apart)])

    def _place(self, index: Tensor, count: int, first: int) -> Tensor:
        return index // count * self._all + first + index % count

    def pixels(self, index: Tensor) -> Tensor:
        """Those pictures, on the device."""
        which, device = index % self._all, self._run.device
        theirs = which < self._apart
        x = torch.empty(len(index), *self._public.shape, device=device)
        x[theirs.to(device)] = self._public.at(which[theirs]).to(device)
        x[~theirs.to(device)] = self._own[(which[~theirs] - self._apart).to(device)]
        mirrored = (index >= self._all)[:, None, None, None].to(device)
        return torch.where(mirrored, x.flip(-1), x).contiguous(memory_format=torch.channels_last)

"""Conformance of data sets."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from unveil.harness.conformance import watch
from unveil.harness.conformance.report import BreachError
from unveil.harness.conformance.watch import Tensors, Trial, require_pixels
from unveil.harness.data.copies import fingerprints
from unveil.harness.data.selection import Public
from unveil.harness.data.splits import PARTS, ROLES, Pictures, Shares, assemble, label
from unveil.harness.words.images import Data, Images
from unveil.harness.words.run import Run


class DatasetTrial(Trial):
    """A data set, loaded."""

    data: Data

    def act(self, run: Run) -> Tensors:
        """Loads everything."""
        data = _beside_tiny_people(self.plugin, run) if _public_only(self.plugin) else self.plugin.load(run)
        if not isinstance(data, Data):
            raise BreachError(
                f"load returned {type(data).__name__}", "unveil.harness.types.Data", "end with `assemble`"
            )
        self.data = data
        tensors = {f"{part}.{what}": getattr(images, what) for part, images in parts(data) for what in IMAGE}
        return {**tensors, "checksum": torch.tensor(list(data.checksum.encode()), dtype=torch.uint8)}


def _public_only(plugin: object) -> bool:
    """Whether nobody knows who is on its pictures, so that it is tried as the public side of another data set."""
    return isinstance(plugin, Public) and bool(getattr(plugin, "public_only", False))


def _beside_tiny_people(plugin: Public, run: Run) -> Data:
    pixels = torch.randint(256, (12, 3, 16, 16), generator=run.generator("people"), dtype=torch.uint8)
    private = Pictures(pixels, *label([f"person {row % 3}" for row in range(len(pixels))]))
    public, odd = plugin.everybody().decoded("public", 3, run)
    return assemble(private, public, Shares(0.2, 0.1, 0), publishable=False, remarks=odd)


IMAGE = ("pixels", "labels")


def parts(data: Data) -> Iterator[tuple[str, Images]]:
    """Train, validation, test and public, with their names."""
    return ((part, getattr(data, part)) for part in PARTS)


def loads_pictures(trial: DatasetTrial) -> None:
    """All parts have pictures, float32 in [0, 1]: the private ones of one shape, the public ones as many channels."""
    assert trial.first
    own, others = trial.data.train.shape, trial.data.public.shape
    if others[0] != own[0]:
        raise BreachError(
            f"public pictures of {others[0]} channels beside private ones of {own[0]}",
            "as many",
            "read both alike",
        )
    for part, images in parts(trial.data):
        if not len(images) and part != "validation":
            raise BreachError(f"{part} is empty", "pictures in train, test and public", "change the shares")
        if len(images):
            require_pixels(images.pixels, (len(images), *(others if part == "public" else own)), f"{part} pixels")


def private_labels_count_from_zero(trial: DatasetTrial) -> None:
    """Labels of every private part are 0 to C - 1, each there, int64; there may be no validation pictures."""
    wanted = torch.arange(trial.data.classes)
    for role in ROLES:
        labels = getattr(trial.data, role).labels
        if role == "validation" and not len(labels) and labels.dtype == torch.int64:
            continue
        if labels.dtype != torch.int64 or not torch.equal(labels.unique(), wanted):
            raise BreachError(
                f"{role} has labels {labels.unique().tolist()[:8]} of type {labels.dtype}",
                f"each of 0 to {trial.data.classes - 1} as int64: one for each of the {trial.data.classes} names",
                "number people with unveil.harness.data.splits.label and split with `assemble`",
            )


def public_labels_are_known_or_minus_one(trial: DatasetTrial) -> None:
    """Public labels number public people; -1 where nobody knows."""
    labels = trial.data.public.labels
    if labels.dtype != torch.int64 or int(labels.min()) < -1:
        raise BreachError(f"public labels of type {labels.dtype} from {int(labels.min())} on", "int64, -1 or more")


def no_picture_is_in_two_parts(trial: DatasetTrial) -> None:
    """Train, validation, test and public share no picture, pixel for pixel."""
    seen: dict[bytes, str] = {}
    for part, images in parts(trial.data):
        for name in fingerprints(images.stored):
            if seen.setdefault(name, part) != part:
                raise BreachError(
                    f"a picture is in both {seen[name]} and {part}",
                    "parts that share no picture, or accuracy is memory and the attacker has private pictures",
                    "remove duplicates before you split",
                )


def says_how_people_are_disjoint(trial: DatasetTrial) -> None:
    """``disjoint`` is in words."""
    if not trial.data.disjoint.strip():
        raise BreachError(
            "disjoint is empty",
            "how it is known that no private person is public",
            "use `assemble`, and say with `apart` what names cannot show",
        )


def accounts_are_for_readers(trial: DatasetTrial) -> None:
    """What is said of things that were not used is text that can be stored and printed."""
    for remark in (*trial.data.remarks, *getattr(trial.plugin, "passed_over", tuple)()):
        try:
            "".join([remark.what, *remark.names]).encode()
        except UnicodeEncodeError as error:
            raise BreachError(
                f"a remark holds text that cannot be stored: {remark.sentence!a}",
                "names as text that UTF-8 has",
                "pass file names through unveil.harness.data.names.shown",
            ) from error
        if remark.count < len(remark.names):
            raise BreachError(f"{remark.sentence}: {len(remark.names)} names", "no more names than things", "count all")


CHECKS = (
    loads_pictures,
    private_labels_count_from_zero,
    public_labels_are_known_or_minus_one,
    no_picture_is_in_two_parts,
    says_how_people_are_disjoint,
    accounts_are_for_readers,
    watch.same_seed_gives_the_same_answer,
    watch.global_random_numbers_are_left_alone,
)


def trial(plugin: object) -> DatasetTrial:
    """A data set on trial."""
    return DatasetTrial(plugin)

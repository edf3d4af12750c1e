"""What a model that was trained elsewhere expects of pictures, found by how many private ones it names rightly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from unveil.harness.figures.class_order import Numbers, assigned, is_chance, rate, spread
from unveil.harness.steps.people import join
from unveil.harness.steps.preparation import KNOWN, Input, changed, likely
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.finite import not_finite
from unveil.harness.words.images import Data, Images
from unveil.harness.words.run import Run

LOOKED_AT = (24, 3)  # people, and pictures of each, that every guess is tried on
CONFIRMED_ON = 2000  # pictures that the best guess is confirmed on
SIZES = (64, 112, 160, 224)
BATCH = 32


@dataclass(frozen=True)
class Trial:
    """How a guess did.

    Attributes:
        input: The guess.
        sorted: Share of pictures named rightly if classes stand in the order of the people.
        found: The same for the order that half of the pictures say, of the other half.
        pictures: How many the first share is of.
        other: How many the second is of.
    """

    input: Input
    sorted: float
    found: float
    pictures: int
    other: int

    @property
    def best(self) -> float:
        """The greater share."""
        return max(self.sorted, self.found)


@dataclass(frozen=True)
class Expectations:
    """What was found out.

    Attributes:
        input: How pixels are given to the network.
        order: The class of each person.
        by: ``"declared"``, ``"sorted names"`` or ``"by accuracy"``.
        accuracy: Share of private pictures that are named rightly so. Of an order by accuracy: of pictures that had no
            say in it.
        pictures: How many these are.
        people: Of how many people.
        notes: What a reader must know.
    """

    input: Input
    order: tuple[int, ...]
    by: str
    accuracy: float
    pictures: int
    people: int
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def expectations(classifier: Classifier, data: Data, known: Knowledge, run: Run) -> Expectations:
    """Finds out what a model expects, and leaves it so that it is given that. Its classes keep their order.

    Each guess is tried on a few pictures of some people, in turn for normalisation, size and order of colours, and the
    best one on many.

    Args:
        classifier: As restored.
        data: Whose people it knows.
        known: What is said of it.
        run: Randomness and device.

    Raises:
        WeightsError: If it names no more of the private pictures rightly than guessing would, whatever is tried.
    """
    everything = join(data.train, data.validation, data.test)
    few = _some(everything, *LOOKED_AT, run)
    tried = _search(classifier, few, known, run)
    best = max(tried, key=lambda one: one.best)  # of equal ones the first, which is the likeliest
    best.input.give(classifier)
    each = max(2, CONFIRMED_ON // data.classes)
    many = _some(everything, max(1, CONFIRMED_ON // each), each, run)
    found = _confirmed(best.input, _answers(classifier, many, run), many.labels.numpy(), data, known, classifier)
    _require_more_than_chance(found, tried, classifier.classes)
    return _with_doubts(found, best, tried)


@dataclass(frozen=True)
class Knowledge:
    """What is said of a model, so that it need not be found out.

    Attributes:
        order: The class of each person, as declared; None if it is not.
        searched: Whether to look for an order that names more pictures rightly than the sorted one.
        mean: Normalisation; None if it is not said.
        std: The same.
        bgr: Whether blue comes first; None if it is not said.
        size: Side of pictures; None if it is not said.
    """

    order: tuple[int, ...] | None
    searched: bool
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    bgr: bool | None
    size: int | None

    @property
    def classes(self) -> bool:
        """Whether the order of the classes is settled."""
        return self.order is not None or not self.searched


def _search(classifier: Classifier, few: Images, known: Knowledge, run: Run) -> list[Trial]:
    """Every guess that was tried: normalisations first, then sizes with the best of them, then the other colours."""
    tried: list[Trial] = []
    first = classifier.size if isinstance(classifier.size, int) else None
    with run.progress("what the model expects", len(KNOWN) + len(SIZES) + 2) as bar:

        def best() -> Input:
            return max(tried, key=lambda one: one.best).input

        def attempt(guesses: Sequence[Input]) -> None:
            for guess in guesses:
                if all(guess != one.input for one in tried) and (trial := _trial(classifier, guess, few, known, run)):
                    tried.append(trial)
                bar.advance()

        attempt(list(_first_guesses(classifier, known, first if known.size is None else known.size)))
        if tried and known.size is None and first is None:
            attempt([changed(best(), size=size) for size in SIZES if size != few.shape[-1]])
        if tried and known.bgr is None and _coloured(few):
            attempt([changed(best(), bgr=True)])
    if not tried:
        raise WeightsError(
            f"the model takes no pictures of shape {few.shape}, nor of {', '.join(map(str, SIZES))} pixels",
            "a model of pictures",
            "say which size it takes",
        )
    return tried


def _coloured(images: Images) -> bool:
    """Whether the order of colours makes a difference."""
    x = images.at(slice(None))
    return x.shape[1] == 3 and not torch.equal(x, x.flip(1))


def _trial(classifier: Classifier, guess: Input, few: Images, known: Knowledge, run: Run) -> Trial | None:
    """How a guess does; None if the network cannot take such pictures at all."""
    guess.give(classifier)
    try:
        answers = _answers(classifier, few, run)
    except (RuntimeError, AssertionError, ValueError, IndexError):  # networks of a fixed size raise any of these
        return None
    people = few.labels.numpy()
    plain = np.arange(classifier.classes) if known.order is None else np.array(known.order)
    if known.classes:
        return Trial(guess, rate(answers, people, plain), 0.0, len(people), 0)
    says = _says(people)
    order = assigned(answers[says], people[says], int(people.max()) + 1, classifier.classes)
    found = rate(answers[~says], people[~says], order)
    return Trial(guess, rate(answers, people, plain), found, len(people), int((~says).sum()))


def _says(people: Numbers) -> Any:
    """Which pictures have a say in the order: every other one of each person, the first of them among these."""
    seen: dict[int, int] = {}
    says = np.zeros(len(people), dtype=bool)
    for i, person in enumerate(people.tolist()):
        seen[person] = seen.get(person, -1) + 1
        says[i] = seen[person] % 2 == 0
    return says


def _confirmed(
    given: Input, answers: Numbers, people: Numbers, data: Data, known: Knowledge, classifier: Classifier
) -> Expectations:
    """The best guess, with the order of the classes that many pictures say."""
    plain = np.arange(data.classes) if known.order is None else np.array(known.order)
    by = "sorted names" if known.order is None else "declared"
    share, counted = rate(answers, people, plain), len(people)
    notes: tuple[str, ...] = ()
    if not known.classes:
        says = _says(people)
        half = assigned(answers[says], people[says], data.classes, classifier.classes)
        other = rate(answers[~says], people[~says], half)
        error = spread(share, counted) + spread(other, int((~says).sum()))
        if other - share > 2 * error:
            plain, by = assigned(answers, people, data.classes, classifier.classes), "by accuracy"
            notes = (_reordered(share, other, plain, answers, people, data),)
            share, counted = other, int((~says).sum())
    who = len(np.unique(people))
    return Expectations(given, tuple(plain.tolist()), by, share, counted, who, notes)


def _reordered(share: float, other: float, order: Numbers, answers: Numbers, people: Numbers, data: Data) -> str:
    unsure = sum(not (answers[people == i] == order[i]).any() for i in range(data.classes))
    more = f"; of {unsure} people no picture says which class is theirs" if unsure else ""
    moved = int((order != np.arange(data.classes)).sum())
    return (
        f"its classes are not in the order of the people's sorted names, in which it would name {share:.0%} of their "
        f"pictures rightly: in the order found it names {other:.0%} of pictures that had no say in that order, and "
        f"{moved} of {data.classes} people are another class{more}"
    )


def _require_more_than_chance(found: Expectations, tried: Sequence[Trial], classes: int) -> None:
    if not is_chance(found.accuracy, found.pictures, classes, tries=len(tried)):
        return
    told = "; ".join(
        f"{one.input.told}{f' at {one.input.size} px' if one.input.size else ''}: {one.sorted:.1%}"
        + (f", in the best order {one.found:.1%}" if one.other else "")
        for one in tried
    )
    raise WeightsError(
        f"the model names {found.accuracy:.1%} of {found.pictures} private pictures rightly, and guessing among "
        f"{classes} classes {1 / classes:.1%}. Tried: {told}",
        "a model that knows these people, and pictures prepared as it was trained on them",
        "check that the file, the architecture and the private pictures belong together; declare the order of the "
        "classes, the size or the normalisation if they are unusual",
    )


def _with_doubts(found: Expectations, best: Trial, tried: Sequence[Trial]) -> Expectations:
    notes = list(found.notes)
    close = [
        one.input
        for one in tried
        if one.input != best.input and best.best - one.best <= spread(best.best, best.other or best.pictures)
    ]
    if close:
        told = ", ".join(dict.fromkeys(f"{one.told}{f' at {one.size} px' if one.size else ''}" for one in close))
        notes.append(
            f"how its pictures are prepared is a guess ({found.input.told}"
            f"{f' at {found.input.size} px' if found.input.size else ''}): as good on {best.pictures} pictures: {told}"
        )
    if found.accuracy < 0.5:
        notes.append(
            f"it names only {found.accuracy:.0%} of the private pictures rightly: it may have been trained on other "
            "pictures, or on pictures prepared in another way than those that were tried"
        )
    return Expectations(**{**found.__dict__, "notes": tuple(notes)})


def _some(images: Images, people: int, each: int, run: Run) -> Images:
    """Some pictures of some people, the same ones whoever asks."""
    shuffled = torch.randperm(len(images), generator=run.generator("looked at", people))
    chosen = images.labels.unique()
    if len(chosen) > people:
        chosen = chosen[torch.randperm(len(chosen), generator=run.generator("people", people))[:people]]
    labels, left = images.labels[shuffled].tolist(), dict.fromkeys(chosen.tolist(), each)
    kept = []
    for i, label in zip(shuffled.tolist(), labels, strict=True):
        if left.get(label, 0):
            left[label] -= 1
            kept.append(i)
    return images[torch.tensor(sorted(kept))]


def _answers(classifier: Classifier, images: Images, run: Run) -> Numbers:
    """The class that the model answers to each picture.

    Raises:
        RuntimeError: If it cannot take them.
    """
    with torch.no_grad():
        found = torch.cat([classifier.logits(x.to(run.device)).cpu() for x in images.batches(BATCH)])
    if not_finite({"answers": found}):
        raise ValueError("answers that are no numbers")
    answers: Numbers = found.argmax(1).numpy()
    return answers


def _first_guesses(classifier: Classifier, known: Knowledge, size: int | None) -> Iterator[Input]:
    bgr = bool(known.bgr)
    if known.mean is not None and known.std is not None:
        yield Input("as declared", known.mean, known.std, size, bgr)
    else:
        yield from likely(classifier, size, bgr)

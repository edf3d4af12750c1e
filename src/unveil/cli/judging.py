"""Which pairs of pictures people are asked about: real ones, and reconstructions that a store holds of a plan."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unveil.harness.audit import Stored
from unveil.harness.data.splits import PARTS, from_tensors
from unveil.harness.figures import panel
from unveil.harness.figures.rows import Row
from unveil.harness.steps.attack import opened, reconstructions
from unveil.harness.steps.people import join
from unveil.harness.words.errors import PlanError
from unveil.harness.words.images import Data, Images
from unveil.leaderboard.judging.pairs import Kind, Pair
from unveil.metrics import outside, query_picture, questions
from unveil.metrics.answer_sheet import drawn
from unveil.metrics.comparers import People, enrolled
from unveil.metrics.kept_answers import question
from unveil.metrics.verification import unmeasurable

CHUNK = 256  # pictures that are looked at at once
BESIDE = 4  # pictures of the person beside the one in question
KINDS = {
    questions.GENUINE: Kind.GENUINE,
    questions.IMPOSTOR: Kind.IMPOSTOR,
    questions.RECONSTRUCTION: Kind.RECONSTRUCTION,
}
Verdicts = Mapping[bytes, Mapping[str, bool]]


@dataclass(frozen=True)
class _Row:
    """Reconstructions by one attack on one defense, with all seeds."""

    name: str
    images: Images
    verdicts: Verdicts


def pairs_of(kept: Stored, most: int, defenses: Collection[str], attacks: Collection[str]) -> list[Pair]:
    """Pairs of three kinds, of the results as they were stored: no plugin is made, and no code is asked for.

    Args:
        kept: The results of a plan.
        most: Most genuine and impostor pairs of each data set, and reconstructions of each defense and attack.
        defenses: Only these; all if empty.
        attacks: Only these; if empty all but controls.

    Raises:
        PlanError: If the store holds no such reconstructions, or they cannot be compared with real pictures.
    """
    wanted = [row for row in kept.results.rows if _wanted(row, defenses, attacks)]
    there = [row for row in wanted if all(kept.store.has(row.keys.get(role, "")) for role in ("data", "attack"))]
    if not there:
        raise PlanError(
            f"{kept.store.url} holds no reconstructions of the {len(wanted)} rows that are to be judged",
            "a plan that was run with this store, and names of its defenses and attacks",
            "run it there, or correct --defense and --attack",
        )
    found: dict[str, Pair] = {}
    for key in dict.fromkeys(row.keys["data"] for row in there):
        mine = [row for row in there if row.keys["data"] == key]
        opened = kept.store.open(key, [f"{part}.pixels" for part in PARTS])
        data = from_tensors(opened.tensors, opened.record, opened.pictures)
        for pair in _of_data(mine[0].data, data, list(_rows(mine, kept)), most):
            found[pair.name] = _joined(found.get(pair.name), pair)
    return list(found.values())


def _wanted(row: Row, defenses: Collection[str], attacks: Collection[str]) -> bool:
    named = row.attack in attacks if attacks else not row.role
    return named and (not defenses or row.defense in defenses)


def _rows(rows: Sequence[Row], kept: Stored) -> Iterator[_Row]:
    several = len({row.model for row in rows}) > 1
    names: dict[str, list[Row]] = {}
    for row in rows:
        names.setdefault(f"{row.defense}, {row.attack}" + f", {row.model}" * several, []).append(row)
    for name, seeds in names.items():
        made = [reconstructions(opened(kept.store, row.keys["attack"])) for row in seeds]
        told = [_verdicts(row.keys["attack"], images, kept) for row, images in zip(seeds, made, strict=True)]
        yield _Row(name, join(*made), {key: said for one in told for key, said in one.items()})


def _verdicts(attack: str, images: Images, kept: Stored) -> Verdicts:
    """What each evaluator that was run says of each picture, by the picture and whom it should show."""
    heard = [panel.read(plain) for key in _measures(attack, kept) for plain in kept.store.record(key)["verdicts"]]
    own = [one for one in heard if one.evaluator and one.people.tolist() == images.labels.tolist()]
    shown = (x for part in images.batches(CHUNK) for x in part)
    keys = [_key(x, int(label)) for x, label in zip(shown, images.labels, strict=True)]
    return {key: {str(one.opinion): bool(one.accepted[i]) for one in own} for i, key in enumerate(keys)}


def _measures(attack: str, kept: Stored) -> Iterator[str]:
    """Keys of what measured an attack with an evaluator: rows do not name them, but their provenance says of what."""
    of = kept.results.provenance.get(attack, {})
    for key, told in kept.results.provenance.items():
        options = told.get("options", {})
        label = f"{options.get('name')} of {of.get('label')} by {options.get('judge')}"
        if (told.get("kind"), told.get("label"), told.get("on")) == ("measure", label, of.get("on")) and (
            kept.store.has(key)
        ):
            yield key


def _key(picture: Tensor, label: int) -> bytes:
    return hashlib.sha256(query_picture.pixels_of(picture) + str(label).encode()).digest()


def _of_data(name: str, data: Data, rows: Sequence[_Row], most: int) -> Iterator[Pair]:
    """Of one data set; about attacked people alone, so that nobody is known to be in no reconstruction."""
    attacked = torch.cat([row.images.labels for row in rows]).unique()
    people = enrolled(data.train[torch.isin(data.train.labels, attacked)])
    for row in rows:
        reason = unmeasurable(data, row.images) or outside.incomparable(data, row.images)
        if reason is None and len(people) < 2:
            reason = "one person was attacked"
        if reason is not None:
            raise PlanError(
                f"{name}, {row.name}: {reason}", "pairs of both kinds of real pictures", "judge another plan"
            )
        yield from _asked(name, people, questions.draw(data, people, row.images, most), row)


def _asked(data: str, people: People, asked: questions.Questions, row: _Row) -> Iterator[Pair]:
    for picture, claimed, shown, kind in zip(asked.pictures, asked.claimed, asked.shown, asked.kind, strict=True):
        tiles = torch.cat([query_picture.beside(people[int(claimed)], BESIDE), picture[None]])
        made = KINDS[int(kind)] is Kind.RECONSTRUCTION
        yield Pair(
            name=question(repr(tuple(tiles.shape)), query_picture.pixels_of(tiles)),
            kind=KINDS[int(kind)],
            person=f"{data} {people.numbers[int(claimed)]}",
            rows=(row.name,) if made else (),
            picture=_Drawn(tiles),
            verdicts=row.verdicts.get(_key(picture, int(shown)), {}) if made else {},
        )


@dataclass(frozen=True, eq=False)
class _Drawn:
    tiles: Tensor

    def __call__(self) -> bytes:
        packed = io.BytesIO()
        drawn(self.tiles).save(packed, "PNG", compress_level=0)  # blurred ones would be shorter
        return packed.getvalue()


def _joined(known: Pair | None, new: Pair) -> Pair:
    """The same pair in several rows is shown once; what is a real pair stays one."""
    if known is None:
        return new
    rows = tuple(dict.fromkeys([*known.rows, *new.rows]))
    return replace(known, rows=rows, verdicts={**known.verdicts, **new.verdicts})

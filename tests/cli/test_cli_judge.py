"""Which pairs people are shown: of stored results, about attacked people alone, each once."""

from collections import Counter

import pytest
import torch

from unveil.cli.judging import pairs_of
from unveil.harness.audit import Stored
from unveil.harness.data.splits import to_meta, to_pictures, to_tensors
from unveil.harness.figures.panel import Verdict
from unveil.harness.figures.rows import Results, Row
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.types import Data, Images
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Opinion
from unveil.leaderboard.judging.pairs import Kind


def pictures(labels, seed):
    labels = torch.as_tensor(labels)
    pixels = torch.randint(256, (len(labels), 3, 12, 12), generator=torch.Generator().manual_seed(seed))
    return Images(pixels / 255, labels)


def row(attack, keys, **more):
    return Row(data="d", model="m", defense="none", attack=attack, seed=0, status="done", keys=keys, **more)


@pytest.fixture
def kept(tmp_path):
    """Ten people, of whom six were attacked by two attacks that found the same, and a control; an evaluator for one."""
    store, people = Store(str(tmp_path / "store")), torch.arange(10)
    parts = [pictures(people.repeat_interleave(n), n) for n in (5, 1, 2)]
    data = Data(*parts, pictures(torch.arange(20), 9), tuple(map(str, people.tolist())), "sum", "none are public")
    store.save("d", Artefact({**to_meta(data)}, to_tensors(data), pictures=to_pictures(data)))
    made = pictures(torch.arange(6).repeat_interleave(3), 7)
    tensors = {"pixels": (made.pixels * 255).round().to(torch.uint8), "labels": made.labels}
    for key in ("a", "b", "c"):
        store.save(key, Artefact({}, tensors))
    own = Verdict(Opinion(judge="cnn"), (torch.arange(18) % 3 == 0).numpy(), made.labels.numpy(), evaluator=True)
    store.save("v", Artefact({"verdicts": [own.plain()]}))
    told = {"kind": "measure", "label": "acc of gmi on m by cnn", "options": {"name": "acc", "judge": "cnn"}, "on": {}}
    rows = [
        row("gmi", {"data": "d", "attack": "a"}),
        row("kedmi", {"data": "d", "attack": "b"}),
        row("luck", {"data": "d", "attack": "c"}, role="floor"),
        row("lost", {"data": "d", "attack": "nowhere"}),
    ]
    provenance = {"v": told, "a": {"label": "gmi on m", "on": {}}}
    return Stored(store, "reports/t", Results(title="t", plan="", rows=tuple(rows), provenance=provenance))


def test_pairs_are_real_ones_and_reconstructions_once_each(kept):
    pairs = pairs_of(kept, 12, [], [])
    assert Counter(one.kind for one in pairs) == {Kind.GENUINE: 12, Kind.IMPOSTOR: 12, Kind.RECONSTRUCTION: 12}
    assert len({one.name for one in pairs}) == 36
    made = [one for one in pairs if one.kind is Kind.RECONSTRUCTION]
    assert {one.rows for one in made} == {("none, gmi", "none, kedmi")}, "equal pictures are shown once, for both rows"
    assert all(set(one.verdicts) == {"cnn"} for one in made)
    assert {one.verdicts["cnn"] for one in made} == {True, False}
    assert not [one for one in pairs if one.kind is not Kind.RECONSTRUCTION and (one.verdicts or one.rows)]
    assert {one.person for one in pairs} <= {f"d {number}" for number in range(6)}, "nobody who was not attacked"
    sizes = {one.picture()[16:24] for one in pairs}
    assert len(sizes) == 1, "all pictures have one size"
    assert [one.name for one in pairs] == [one.name for one in pairs_of(kept, 12, [], [])]


def test_controls_are_shown_if_named_and_what_is_not_there_is_said(kept):
    assert {r for one in pairs_of(kept, 12, [], ["luck"]) for r in one.rows} == {"none, luck"}
    for defenses, attacks in ((["tl"], []), ([], ["lost"])):
        with pytest.raises(PlanError, match="holds no reconstructions"):
            pairs_of(kept, 12, defenses, attacks)

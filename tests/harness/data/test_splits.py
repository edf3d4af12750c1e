"""Splits: stratified, seeded, lossless, and no private person among the public ones."""

import json
from dataclasses import replace

import pytest
import torch

from unveil.harness.data.splits import (
    PARTS,
    Pictures,
    Shares,
    assemble,
    from_tensors,
    label,
    stratify,
    to_meta,
    to_pictures,
    to_tensors,
)
from unveil.harness.words.disk import Handle
from unveil.harness.words.errors import DataError
from unveil.harness.words.pixel_file import PixelFile
from unveil.harness.words.pixels import to_float, to_uint8

SHARES = Shares(test=0.2, validation=0.25, seed=3)


def pictures(people: list[str], seed: int = 0) -> Pictures:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (len(people), 3, 4, 4), generator=generator, dtype=torch.uint8)
    return Pictures(pixels, *label(people))


PRIVATE = pictures(["ann", "bob"] * 10 + ["cy"] * 3)
PUBLIC = pictures(["dan", "eve", "eve"], seed=1)


def test_counts_and_cover():
    parts = stratify(PRIVATE.labels, PRIVATE.names, SHARES)
    counts = {role: torch.bincount(PRIVATE.labels[rows]).tolist() for role, rows in parts.items()}
    # of 10: 2 to test, a quarter of the other 8 to validation; of 3: one each
    assert counts == {"train": [6, 6, 1], "validation": [2, 2, 1], "test": [2, 2, 1]}
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(23))


def test_seeded_and_independent_of_other_people():
    again = stratify(PRIVATE.labels, PRIVATE.names, SHARES)
    other = stratify(PRIVATE.labels, PRIVATE.names, Shares(0.2, 0.25, 4))
    fewer = stratify(PRIVATE.labels[:20], PRIVATE.names[:2], SHARES)
    for role, rows in stratify(PRIVATE.labels, PRIVATE.names, SHARES).items():
        assert torch.equal(rows, again[role])
        assert torch.equal(rows[rows < 20], fewer[role])
    assert not torch.equal(again["train"], other["train"])


def test_given_roles_are_honoured_and_validation_is_carved_from_train():
    given = ["test" if i // 2 % 4 == 0 or i == 22 else "train" for i in range(23)]
    parts = stratify(PRIVATE.labels, PRIVATE.names, SHARES, given)
    assert parts["test"].tolist() == [0, 1, 8, 9, 16, 17, 22]
    assert torch.bincount(PRIVATE.labels[parts["validation"]]).tolist() == [2, 2, 1], "a quarter of 7, 7 and 2"


def test_given_validation_is_taken_as_it_is():
    given = (["train"] * 4 + ["test"] * 4 + ["validation"] * 12) + ["train", "test", "validation"]
    parts = stratify(PRIVATE.labels, PRIVATE.names, SHARES, given)
    assert parts["validation"].tolist() == [*range(8, 20), 22]


def test_without_a_share_nobody_validates_and_two_pictures_are_enough():
    parts = stratify(PRIVATE.labels, PRIVATE.names, replace(SHARES, validation=0.0))
    assert [len(parts[role]) for role in ("train", "validation", "test")] == [8 + 8 + 2, 0, 2 + 2 + 1]
    given = ["test" if i // 2 % 4 == 0 or i == 22 else "train" for i in range(23)]
    assert not len(stratify(PRIVATE.labels, PRIVATE.names, replace(SHARES, validation=0.0), given)["validation"])
    pair = pictures(["dan", "dan"])
    assert len(stratify(pair.labels, pair.names, replace(SHARES, validation=0.0))["test"]) == 1


def test_a_split_of_all_pictures_together_may_leave_people_untested_and_keeps_copies_in_training():
    twice = Pictures(
        torch.cat([PRIVATE.pixels, PRIVATE.pixels[:1]]), torch.cat([PRIVATE.labels, torch.tensor([0])]), PRIVATE.names
    )
    given = ["test"] + ["train"] * 23
    data = assemble(twice, PUBLIC, replace(SHARES, validation=0.0), publishable=False, given=given, published=True)
    assert (len(data.train), len(data.validation), len(data.test)) == (23, 0, 0), "the copy that is trained on is kept"
    assert data.remarks[0].what.startswith("copies of a picture")
    with pytest.raises(DataError, match="prescribed for two splits"):
        assemble(twice, PUBLIC, SHARES, publishable=False, given=given)


def test_what_is_doubtful_of_published_lists_is_left_out_and_counted():
    first, last = PRIVATE.pixels[:1], PRIVATE.pixels[-1:]
    torn = Pictures(torch.cat([PRIVATE.pixels, first]), torch.cat([PRIVATE.labels, torch.tensor([1])]), PRIVATE.names)
    public = Pictures(torch.cat([PUBLIC.pixels, last]), torch.cat([PUBLIC.labels, torch.tensor([-1])]), PUBLIC.names)
    shares = replace(SHARES, validation=0.0)
    data = assemble(torn, public, shares, publishable=False, published=True)
    assert [remark.count for remark in data.remarks] == [1, 2]
    assert len(data.train) + len(data.test) == 22, "neither ann's nor bob's"
    assert len(data.public) == 3
    for private, others in ((torn, PUBLIC), (PRIVATE, public)):
        with pytest.raises(DataError, match="pixel for pixel"):
            assemble(private, others, shares, publishable=False)


def test_too_few_names_class_count_and_minimum():
    poor = pictures(["ann"] * 5 + ["bob"] * 2)
    with pytest.raises(DataError, match=r"1 classes: bob: 2\n.*at least 3"):
        stratify(poor.labels, poor.names, SHARES)
    with pytest.raises(DataError, match=r"lack pictures in a split.*ann: 5 \(train 4, validation 1, test 0\)"):
        stratify(poor.labels, poor.names, SHARES, ["train"] * 7)
    given = ["train", "validation", "test", "test", "test", "train", "test"]
    with pytest.raises(DataError, match=r"1 classes lack.*bob: 2 .*validation 0.*\n.*each class train, validation and"):
        stratify(poor.labels, poor.names, SHARES, given)
    with pytest.raises(DataError, match="no private person"):
        stratify(poor.labels, (), SHARES)


def test_labels_are_contiguous_in_sorted_order():
    numbers, names = label(["b", "", "a", "b"])
    assert names == ("a", "b")
    assert numbers.tolist() == [1, -1, 0, 1]


def test_every_8_bit_value_survives():
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_uint8(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0, 128, 255]


def test_anchors_travel_where_they_are_known():
    data = assemble(PRIVATE, PUBLIC, SHARES, publishable=True)
    assert "anchors" not in to_tensors(data)  # so older artefacts can still be read
    assert from_tensors(to_tensors(data), to_meta(data)).anchors is None
    known = replace(data, anchors=data.train.pixels[:2])
    assert torch.equal(from_tensors(to_tensors(known), to_meta(known)).anchors, data.train.pixels[:2])


def test_round_trip_through_tensors_and_json():
    data = assemble(PRIVATE, PUBLIC, SHARES, publishable=True)
    tensors = {name: tensor.clone() for name, tensor in to_tensors(data).items()}
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"torch.uint8", "torch.int64"}
    back = from_tensors(tensors, json.loads(json.dumps(to_meta(data))))
    for part in ("train", "validation", "test", "public"):
        assert torch.equal(getattr(back, part).pixels, getattr(data, part).pixels)
        assert torch.equal(getattr(back, part).labels, getattr(data, part).labels)
    assert (back.names, back.checksum, back.disjoint, back.publishable) == (
        data.names,
        data.checksum,
        data.disjoint,
        True,
    )


def test_checksum_sees_pixels_labels_and_names():
    def checksum(private, public=PUBLIC):
        return assemble(private, public, SHARES, publishable=True).checksum

    brighter = PRIVATE.pixels.clone()
    brighter[0, 0, 0, 0] ^= 1
    swapped = torch.where(PRIVATE.labels < 2, 1 - PRIVATE.labels, PRIVATE.labels)
    seen = {
        checksum(PRIVATE),
        checksum(Pictures(brighter, PRIVATE.labels, PRIVATE.names)),
        checksum(Pictures(PRIVATE.pixels, swapped, PRIVATE.names)),
        checksum(Pictures(PRIVATE.pixels, PRIVATE.labels, ("ann", "bob", "di"))),
        checksum(PRIVATE, pictures(["dan", "eve", "dan"], seed=1)),
    }
    assert len(seen) == 5
    assert checksum(PRIVATE) in seen


def test_shared_people_are_listed_whatever_the_spelling():
    private = pictures(["Ann_Lee"] * 3 + ["Bob"] * 3)
    with pytest.raises(DataError, match="1 people are private and public: Ann_Lee"):
        assemble(private, pictures(["ann lee", "eve"], seed=1), SHARES, publishable=True)


def test_shared_pictures_are_found_without_names():
    public = Pictures(PRIVATE.pixels[:1], torch.tensor([-1]), ())
    with pytest.raises(DataError, match=r"1 public pictures are, pixel for pixel.*: ann"):
        assemble(PRIVATE, public, SHARES, publishable=True)


@pytest.mark.parametrize(
    ("people", "words"), [(["dan", "eve"], "by name"), (["dan", ""], "in part"), (["", ""], "not known by name")]
)
def test_how_far_disjointness_is_known(people, words):
    data = assemble(PRIVATE, pictures(people, seed=1), SHARES, publishable=True)
    assert data.disjoint.startswith(words)


def test_no_public_picture():
    with pytest.raises(DataError, match="no public picture"):
        assemble(PRIVATE, pictures([]), SHARES, publishable=True)


def test_a_data_set_in_a_file_is_the_data_set_in_memory(tmp_path):
    private, public = pictures(["ann"] * 6 + ["bob"] * 7), pictures([""] * 5, seed=1)
    data = [assemble(private, public, SHARES, publishable=False)]
    files = []
    for name, some in (("private", private), ("public", public)):
        (tmp_path / name).write_bytes(some.pixels.numpy().tobytes())
        files.append(replace(some, pixels=PixelFile(Handle((tmp_path / name).open("rb")), some.pixels.shape)))
    data.append(assemble(*files, SHARES, publishable=False))
    assert data[0].checksum == data[1].checksum
    assert set(to_pictures(data[1])) == {f"{part}.pixels" for part in PARTS}
    assert not to_pictures(data[0])
    back = from_tensors(to_tensors(data[1]), to_meta(data[1]), to_pictures(data[1]))
    for part in PARTS:
        for one in (data[1], back):
            assert torch.equal(getattr(one, part).pixels, getattr(data[0], part).pixels)
            assert torch.equal(getattr(one, part).labels, getattr(data[0], part).labels)

"""Published data sets on made trees with the true file formats: people, splits, crops, and whatever can be wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.harness.plan import settings
from unveil.harness.words.errors import DataError, UnveilError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

PUBLIC = {"public": {"use": "ffhq", "root": "ffhq", "partial": True}}


@pytest.fixture(scope="module")
def whole(made_faces, tmp_path_factory):
    """All four, as they come."""
    root = tmp_path_factory.mktemp("published")
    for name in ("celeba", "facescrub", "ffhq", "lfw"):
        getattr(made_faces, name)(root / name)
    return root


@pytest.fixture
def made(whole, tmp_path):
    """All four, to be damaged."""
    return shutil.copytree(whole, tmp_path / "made")


def dataset(made: Path, use: str, **given):
    return settings.make("datasets", Spec(use, {"root": use, **given}), made)


def load(made: Path, use: str, **given):
    return dataset(made, use, **given).load(Run("test"))


def counts(data) -> list[int]:
    return [len(part) for part in (data.train, data.validation, data.test, data.public)]


def told(data) -> set[str]:
    return {remark.sentence for remark in data.remarks}


def corners(images) -> list[int]:
    """How far the first and the last pixel that are kept were from the left and from the top."""
    return [int(images.levels(slice(0, 1))[0, channel, at, at]) for at in (0, -1) for channel in (0, 1)]


def rule_all(made_faces, folder: Path, width: int, height: int, step: int = 1) -> None:
    """Paints every picture with its own coordinates, and a mark of its own in a corner that no crop keeps."""
    for number, file in enumerate(sorted(one for one in folder.rglob("*.*g") if one.is_file())):
        made_faces.ruled(file.with_suffix(".png"), width, height, step)
        painted = Image.open(file.with_suffix(".png"))
        painted.putpixel((width // 2, height // 2), (number, 255 - number, 255))  # no two are the same picture
        painted.save(file.with_suffix(".png"))
        if file.suffix != ".png":
            file.unlink()


def test_celebas_private_people_are_the_most_frequent_and_numbered_so(made):
    data = load(made, "celeba", people=3)
    assert data.names == ("00011", "00012", "00013")
    assert counts(data) == [9, 3, 3, 3 + 2]
    assert data.disjoint.startswith("by construction: CelebA's identity file")
    assert data.train.shape == data.public.shape == (3, 108, 108), "the pixels of the crop, not resized"
    most = [int((data.train.labels == label).sum()) for label in range(3)]
    assert most == sorted(most, reverse=True)


def test_private_people_of_one_partition(made):
    # the made list puts 11 and 14 into train, 12 and 15 into validation, 13 into test
    assert load(made, "celeba", people=2, partition="train").names == ("00011", "00014")
    with pytest.raises(DataError, match="1 of the 1 people"):
        load(made, "celeba", people=2, partition="test")


def test_celeba_as_its_publisher_packs_it(made):
    before, root = load(made, "celeba", people=3).checksum, made / "celeba"
    for name, place in {
        "identity_CelebA.txt": "Anno",
        "list_eval_partition.txt": "Eval",
        "img_align_celeba": "Img",
    }.items():
        (root / place / name).parent.mkdir()
        (root / name).rename(root / place / name)
    assert load(made, "celeba", people=3).checksum == before
    (root / "Img" / "img_align_celeba").rename(root / "moved")
    (root / "Img" / "img_align_celeba").mkdir()
    (root / "moved").rename(root / "Img" / "img_align_celeba" / "img_align_celeba")
    assert load(made, "celeba", people=3).checksum == before


def test_the_published_crops(made, made_faces):
    # CelebA: 108 pixels from 35, 55 of 178 x 218; FFHQ: 88 of 128 from 20; LFW as scikit-learn: 94 x 125 from 78, 70
    rule_all(made_faces, made / "celeba", 178, 218)
    rule_all(made_faces, made / "ffhq", 128, 128)
    rule_all(made_faces, made / "lfw", 250, 250)
    data = load(made, "celeba", people=3, public={"use": "ffhq", "root": "ffhq", "partial": True})
    assert corners(data.train) == [35, 55, 142, 162]
    assert corners(data.public) == [20, 20, 107, 107]
    assert (data.train.shape, data.public.shape) == ((3, 108, 108), (3, 88, 88))
    cropped = load(made, "lfw", min_images=4)
    assert corners(cropped.train) == [78, 70, 171, 194]
    assert cropped.train.shape == (3, 125, 94)


def test_large_ffhq_is_cut_to_704_of_1024(made_faces, tmp_path):
    made_faces.ffhq(tmp_path / "ffhq", (0, 1000), side=1024)
    rule_all(made_faces, tmp_path / "ffhq", 1024, 1024, step=4)
    chosen = dataset(tmp_path, "ffhq", pictures="images1024x1024", partial=True).everybody()
    pixels = chosen.decoded("public", 3, Run("test"))[0].pixels
    assert tuple(pixels.shape) == (2, 3, 704, 704)
    assert [int(pixels[:1][0, 0, at, at]) for at in (0, -1)] == [160 // 4, 863 // 4]


def test_pictures_may_be_rectangles_or_of_a_size(made):
    assert load(made, "celeba", people=2, crop="whole").train.shape == (3, 218, 178)
    assert load(made, "celeba", people=2, crop=[10, 20, 40, 60]).train.shape == (3, 60, 40)
    assert load(made, "celeba", people=2, crop=[10, 20, 40, 60], size=32).train.shape == (3, 32, 32)


def test_facescrubs_faces_and_boxes(made, made_faces):
    rule_all(made_faces, made / "facescrub" / "actors" / "faces", 64, 64)
    faces = load(made, "facescrub", group="actors", people=1 + 1, size=54, public={"use": "lfw", "root": "lfw"})
    assert corners(faces.train) == [5, 5, 58, 58], "54 of 64 pixels, from 5 on"
    assert faces.names == ("Ann_Actors", "Bob_Actors")
    everybody = dataset(made, "facescrub", pictures="images").everybody()
    assert [cut(120, 100) for cut in everybody.cuts[:2]] == [(15, 25, 69, 79), (15, 25, 69, 80)], "in the face's box"


def test_actors_are_numbered_before_actresses(made):
    data = load(made, "facescrub", public={"use": "ffhq", "root": "ffhq", "partial": True})
    assert data.names == ("Ann_Actors", "Bob_Actors", "Ann_Actresses", "Bob_Actresses")
    flat = made / "flat"
    for person in (made / "facescrub").glob("*/faces/*"):
        shutil.copytree(person, flat / person.name)
    again = load(made, "facescrub", root="flat", public={"use": "ffhq", "root": "ffhq", "partial": True})
    assert again.names == tuple(sorted(data.names)), "folders of people, and no list that says more"


def test_the_published_split_is_the_one_that_numpy_draws(made):
    chosen = dataset(made, "celeba", people=2, split="published", validation=0.0)
    private, _ = chosen.sides()
    drawn = np.arange(11)
    np.random.RandomState(42).shuffle(drawn)
    assert [row for row, one in enumerate(private.entries) if one.split == "test"] == sorted(drawn[9:])
    data = chosen.load(Run("test"))
    assert counts(data)[:3] == [9, 0, 2]


def test_published_lists(made, made_faces):
    lines = [line.split() for line in (made / "celeba" / "identity_CelebA.txt").read_text().splitlines()]
    own = {"11": 1, "12": 0}
    mine = [(name.replace("jpg", "png"), own[who]) for name, who in lines if who in own]
    made_faces.write(made / "train.txt", [f"{name} {label}" for name, label in mine[:-3]])
    made_faces.write(made / "test.txt", [f"{name} {label}" for name, label in mine[-3:]])
    others = [name for name, who in lines if who in ("11", "13", "14")]
    public = made_faces.write(made / "gan.txt", [name for name in others if name[:6] not in {m[0][:6] for m in mine}])
    lists = {"train_list": "train.txt", "test_list": "test.txt", "public_list": "gan.txt"}
    data = load(made, "celeba", validation=0.0, **lists)
    assert data.names == ("label 0000", "label 0001")
    assert counts(data) == [8, 0, 3, 7]
    chosen = dataset(made, "celeba", **lists)
    assert "is not the list" in chosen.preflight()[0]
    third = [f"{name} 2" for name, who in lines if who == "13"][:2]
    made_faces.write(made / "three.txt", [*(made / "train.txt").read_text().splitlines(), *third])
    fewer = load(made, "celeba", validation=0.0, people=2, **{**lists, "train_list": "three.txt", "public_list": ""})
    assert fewer.names == ("label 0000", "label 0001"), "the first, and the third is on no side"
    assert counts(fewer) == [8, 0, 3, 3 + 2]
    unsaid = dataset(made, "celeba", **{**lists, "public_list": ""})
    assert unsaid == dataset(made, "celeba", train_list="train.txt", test_list="test.txt")
    assert str(made) not in str(settings.question(Spec("celeba"), chosen)), "another place is no other question"
    made_faces.write(public, [mine[0][0]])
    with pytest.raises(DataError, match=r"lists 1 pictures that are private: 000001"):
        load(made, "celeba", **lists)


def test_public_lists_may_not_name_pictures_of_private_people(made, made_faces):
    # person 11 is on 000001, 000006, 000011, 000015, 000018 and 000020; all but the second are private
    made_faces.write(made / "train.txt", [f"{number:06d}.jpg 0" for number in (1, 11, 15)])
    made_faces.write(made / "test.txt", ["000018.jpg 0", "000020.jpg 0"])
    made_faces.write(made / "gan.txt", ["000006.jpg", "000002.jpg"])
    lists = {"train_list": "train.txt", "test_list": "test.txt", "public_list": "gan.txt"}
    data = load(made, "celeba", validation=0.0, **lists)
    assert len(data.public) == 1
    assert any("pictures of people who are private, by the identity file: 1 (000006.jpg)" in one for one in told(data))


def test_people_who_are_on_both_sides_by_name_are_left_out(made):
    shutil.copytree(made / "lfw" / "lfw_home" / "lfw_funneled" / "Ann_Smith", made / "facescrub/actors/faces/Ann Smith")
    for group in ("actors", "actresses"):
        (made / "facescrub" / f"facescrub_{group}.txt").unlink()
    data = load(made, "lfw", people=2, min_images=3, public={"use": "facescrub", "root": "facescrub"})
    assert any("pictures of people who are private, by their names: 5" in one for one in told(data))
    assert data.disjoint.startswith("by name: none of the 2 private people is among the 4 public ones")


def test_ones_own_people_beside_a_published_public_side(made):
    folder = settings.make(
        "datasets",
        Spec("folder", {"private": "lfw/lfw_home/lfw_funneled", "min_images": 4, "size": 16, **PUBLIC}),
        made,
    )
    data = folder.load(Run("test"))
    assert (data.names, data.train.shape, data.public.shape) == (("Ann_Smith", "Bnn_Smith"), (3, 16, 16), (3, 88, 88))
    assert len(data.public) == 6
    assert str(made) not in str(settings.question(Spec("folder"), folder))


def damage_celeba(root):
    (root / "celeba" / "img_align_celeba" / "000003.jpg").unlink()


def damage_ffhq(root):
    (root / "ffhq" / "thumbnails128x128" / "00000" / "00001.png").rename(
        root / "ffhq" / "thumbnails128x128" / "01000" / "00001.png"
    )


def shrink(root):
    Image.new("RGB", (100, 100), "red").save(root / "celeba" / "img_align_celeba" / "000001.jpg")


def cut_list(root):
    file = root / "celeba" / "identity_CelebA.txt"
    file.write_text(file.read_text().replace("000002.jpg 12", "000002.jpg"))


def other_list(root):
    file = root / "celeba" / "list_eval_partition.txt"
    file.write_text(file.read_text() + "999999.jpg 0\n")


def double(root):
    picture = root / "celeba" / "img_align_celeba" / "000001.jpg"
    Image.open(picture).save(picture.with_suffix(".png"))


def pack(root):
    shutil.rmtree(root / "celeba" / "img_align_celeba")
    (root / "celeba" / "img_align_celeba.zip").write_bytes(b"PK")


def gap(root):
    (root / "lfw" / "lfw_home" / "lfw_funneled" / "Ann_Smith" / "Ann_Smith_0002.jpg").unlink()


def unpaired(root):
    shutil.rmtree(root / "lfw" / "lfw_home" / "lfw_funneled" / "Bnn_Smith")


def swap(root):
    images = root / "facescrub" / "actors" / "images" / "Ann_Actors"
    (images / "Ann_Actors_0.jpeg").write_bytes((images / "Ann_Actors_1.jpeg").read_bytes())


def unlist(root):
    (root / "facescrub" / "facescrub_actors.txt").unlink()


def move_box(root):
    file = root / "facescrub" / "facescrub_actors.txt"
    file.write_text(file.read_text().replace("10,20,74,84", "100,20,174,84"))


def no_actresses(root):
    shutil.rmtree(root / "facescrub" / "actresses")


DAMAGED = [
    ("celeba", damage_celeba, {}, "1 listed pictures are not in .*: 000003"),
    ("celeba", shrink, {}, "000001.jpg: ValueError: 100 x 100 pixels, where the crop is meant for 178 x 218"),
    ("celeba", cut_list, {}, "identity_CelebA.txt: line 2: '000002.jpg'"),
    ("celeba", other_list, {}, "do not name the same pictures: 999999"),
    ("celeba", double, {}, "in two formats: 000001.jpg, 000001.png"),
    ("celeba", None, {"crop": [100, 0, 100, 100]}, "a box in 178 x 218 pixels"),
    ("celeba", pack, {}, "but img_align_celeba.zip, which is not opened"),
    ("celeba", damage_ffhq, PUBLIC, "in a folder of others: 01000/00001.png"),
    ("celeba", None, {"public": {"use": "ffhq", "root": "ffhq"}}, "69994 pictures of FFHQ are not in"),
    ("celeba", None, {"public": {"use": "orl"}}, "orl cannot be the public side"),
    ("lfw", gap, {}, "1 pictures of LFW are not in .*: Ann_Smith_0002"),
    ("lfw", unpaired, {}, "1 pictures of LFW are not in .*: Bnn_Smith_0001"),
    (
        "facescrub",
        swap,
        {"pictures": "images", **PUBLIC},
        "1 pictures are not those that FaceScrub lists.*_0.jpeg",
    ),
    ("facescrub", unlist, {"pictures": "images", **PUBLIC}, "facescrub_actors.txt is not in"),
    ("facescrub", move_box, {"pictures": "images", **PUBLIC}, "the face's box .* does not lie in its 120 x 100 pixels"),
    ("facescrub", no_actresses, PUBLIC, "there is no folder actresses"),
    ("facescrub", None, {}, "all 4 people of .* are private"),
]


@pytest.mark.parametrize(("use", "damage", "given", "said"), DAMAGED)
def test_what_is_wrong_is_named(made, use, damage, given, said):
    if damage is not None:
        damage(made)
    usual = {"celeba": {"people": 3}, "lfw": {"min_images": 4}, "facescrub": {}}[use]
    with pytest.raises(UnveilError, match=said):
        load(made, use, **usual, **given)


def test_what_is_left_over_is_named(made, made_faces):
    made_faces.noise(made / "celeba" / "img_align_celeba" / "900000.jpg", 1, 178, 218)
    made_faces.noise(made / "facescrub" / "actors" / "faces" / "Ann_Actors" / "Ann_Actors_9_99.jpeg", 2, 64, 64)
    (made / "facescrub" / "actors" / "faces" / "Ann_Actors" / "Ann_Actors_0_1.jpeg").unlink()
    made_faces.noise(made / "ffhq" / "thumbnails128x128" / "01000" / "x.png", 3, 128, 128)
    seen = told(load(made, "celeba", people=3)) | told(load(made, "facescrub", **PUBLIC))
    assert seen >= {
        "not used, private: pictures that the lists do not name: 1 (900000.jpg)",
        "not used, private: pictures that the lists do not name: 1 (Ann_Actors_9_99.jpeg)",
        "not used, private: listed pictures that are not there: 1 (Ann_Actors_0_1)",
        "not used, public: files and folders that are no pictures of FFHQ: 1 (01000/x.png)",
    }


def test_identity_knows_pictures_and_people_but_not_the_place(made, made_faces):
    def asked(root, **given):
        chosen = dataset(made, "celeba", root=root, people=3, **given)
        return settings.question(Spec("celeba"), chosen)

    before, beside = asked("celeba"), asked("celeba", public={"use": "ffhq", "root": "ffhq", "partial": True})
    assert before != beside
    (made / "celeba").rename(made / "moved")
    (made / "ffhq").rename(made / "elsewhere")
    assert asked("moved") == before
    assert asked("moved", public={"use": "ffhq", "root": "elsewhere", "partial": True}) == beside
    file = made / "moved" / "identity_CelebA.txt"
    file.write_text(file.read_text().replace("000001.jpg 11", "000001.jpg 12"))
    assert asked("moved") != before


def test_the_environment_may_say_where_it_lies(made, monkeypatch):
    with pytest.raises(DataError, match="UNVEIL_CELEBA"):
        load(made, "celeba", root="", people=3)
    monkeypatch.setenv("UNVEIL_CELEBA", str(made / "celeba"))
    assert load(made, "celeba", root="", people=3).checksum == load(made, "celeba", people=3).checksum
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(made / "lfw"))
    assert load(made, "lfw", root="", min_images=4).classes == 2


def test_ffhq_alone_has_no_private_people(made):
    with pytest.raises(DataError, match="nobody knows who is on FFHQ's pictures"):
        load(made, "ffhq", partial=True)

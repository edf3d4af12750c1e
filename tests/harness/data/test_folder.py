"""Anyone's own pictures: what is read, and every way in which a folder or a CSV can be wrong."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter

from unveil.harness.data.folder import Folder
from unveil.harness.words.errors import DataError
from unveil.harness.words.run import Run

RUN = Run("test")


def draw(file: Path, seed: int, size=(20, 24)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def root(tmp_path) -> Path:
    """Ann 4, bob 5 and cy 6 pictures, some nested; public: dan 2, eve 1, and one of nobody known."""
    seed = iter(range(100))
    for name, count in {"ann": 4, "bob": 5, "cy": 6}.items():
        for k in range(count):
            draw(tmp_path / "private" / name / ("deep/er" if k % 2 else "") / f"{k}.PNG", next(seed), (16 + k, 30))
    for name in ("dan/0.png", "dan/1.png", "eve/0.png", "nobody.png"):
        draw(tmp_path / "public" / name, next(seed))
    (tmp_path / "private" / "ann" / "notes.txt").write_text("not a picture")
    (tmp_path / "private" / "ann" / "._0.png").write_bytes(b"not a picture either")
    return tmp_path


def folder(root: Path, size=16, **settings) -> Folder:
    """Through pydantic, as a plan would."""
    both = {"private": str(root / "private"), "public": str(root / "public"), "size": size}
    return TypeAdapter(Folder).validate_json(json.dumps(both | settings), strict=True)


def table(file: Path, text: str) -> str:
    file.write_text("\n".join(line.strip() for line in text.strip().splitlines()), encoding="utf-8")
    return str(file)


def private_csv(root: Path, lines: str = "", head: str = "file,who,split") -> str:
    rows = [
        f"private/{name}/{'deep/er/' if k % 2 else ''}{k}.PNG,{name.title()},{'test' if k == 0 else 'train'}"
        for name in ("ann", "bob")
        for k in range(4)
    ]
    return table(root / "private.csv", "\n".join([head, *rows, lines]))


def told(data) -> set[str]:
    return {remark.sentence for remark in data.remarks}


def test_folders(root):
    data = folder(root).load(RUN)
    assert data.names == ("ann", "bob", "cy")
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 3)
    assert data.public.labels.tolist() == [-1, 0, 0, 1]
    assert data.disjoint.startswith("in part")
    assert data.train.shape == (3, 16, 16)
    assert not data.publishable
    assert folder(root).load(RUN).checksum == data.checksum


def test_csv_decides_who_and_which_split(root):
    chosen = folder(root, labels=private_csv(root), identity_column="who")
    data = chosen.load(RUN)
    assert data.names == ("Ann", "Bob")
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 2, 2)
    drawn = replace(chosen, split_column="", test=0.5).load(RUN)
    assert (len(drawn.train), len(drawn.validation), len(drawn.test)) == (2, 2, 4)


def test_public_csv(root):
    listed = table(root / "public.csv", "file,person\npublic/nobody.png,Zoe\npublic/dan/0.png,")
    data = folder(root, public_labels=listed).load(RUN)
    assert data.public.labels.tolist() == [0, -1]


def test_shards_limits_and_grey(root):
    chosen = folder(root, public_folders="shards", min_images=5, max_classes=1, max_public=2, channels=1)
    data = chosen.load(RUN)
    assert data.names == ("cy",), "the class with most pictures"
    assert told(data) >= {
        "not used, private: people with fewer pictures than min_images = 5: 1 (ann)",
        "not used, private: people beyond max_classes = 1: 1 (bob)",
        "not used, public: pictures beyond max_public = 2: 2",
    }
    assert data.public.labels.tolist() == [-1, -1]
    assert data.disjoint.startswith("not known by name")
    assert data.train.shape[0] == 1


def test_relative_paths(root, monkeypatch):
    expected = folder(root, labels=private_csv(root), identity_column="who")
    monkeypatch.chdir(root / "public")
    relative = Folder("../private", "../public/", labels="../private.csv", identity_column="who", size=16)
    assert relative.load(RUN).checksum == expected.load(RUN).checksum
    assert relative.content() == expected.content()


def test_content_sees_bytes_names_and_tables_but_not_the_place(root, tmp_path):
    seen = [folder(root).content()]
    file = root / "private" / "ann" / "0.PNG"
    os.utime(file, (1, 1))
    assert folder(root).content() == seen[0]
    draw(file, 99)
    seen.append(folder(root).content())
    file.rename(file.with_name("00.PNG"))
    seen.append(folder(root).content())
    file.with_name("00.PNG").rename(file)
    seen.append(folder(root, labels=private_csv(root), identity_column="who").content())
    assert len({str(one) for one in seen}) == 4
    before = folder(root).content()
    (root / "private").rename(root / "elsewhere")
    assert replace(folder(root), private=str(root / "elsewhere")).content() == before


def test_no_folder(root):
    with pytest.raises(DataError, match="nowhere does not exist"):
        replace(folder(root), private="nowhere").load(RUN)
    with pytest.raises(DataError, match="is a file"):
        replace(folder(root), public=str(root / "public" / "nobody.png")).content()


def test_empty_folder(root):
    (root / "empty").mkdir()
    with pytest.raises(DataError, match="no picture in"):
        replace(folder(root), public=str(root / "empty")).load(RUN)


def test_private_picture_outside_any_class(root):
    draw(root / "private" / "stray.png", 77)
    with pytest.raises(DataError, match=r"1 private pictures belong to no class: .*stray\.png"):
        folder(root).load(RUN)


def test_unreadable_pictures(root):
    (root / "private" / "bob" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    with pytest.raises(DataError, match=r"1 of 16 pictures cannot be read(?s:.*)bad\.jpg"):
        folder(root).load(RUN)


def test_too_few_pictures(root):
    draw(root / "private" / "zed" / "0.png", 77)
    with pytest.raises(DataError, match="too few images in 1 classes: zed: 1"):
        folder(root).load(RUN)
    assert folder(root, min_images=3).load(RUN).classes == 3
    with pytest.raises(DataError, match=r"none of the 4 classes.*has 9 images(?s:.*)cy, has 6"):
        folder(root, min_images=9).load(RUN)


def test_the_same_person_on_both_sides(root):
    draw(root / "public" / "Ann" / "0.png", 77)
    with pytest.raises(DataError, match="private and public: ann"):
        folder(root).load(RUN)


def test_unknown_column(root):
    with pytest.raises(DataError, match=r"no column 'identiy'(?s:.*)did you mean 'identity'"):
        folder(root, labels=private_csv(root, head="file,identity,split"), identity_column="identiy").load(RUN)
    with pytest.raises(DataError, match=r"no column 'file'(?s:.*)path, who, split"):
        folder(root, labels=private_csv(root, head="path,who,split")).load(RUN)


def test_no_person_column(root):
    with pytest.raises(DataError, match="8 private pictures belong to no class"):
        folder(root, labels=private_csv(root)).load(RUN)


def test_unknown_split(root):
    with pytest.raises(DataError, match=r"line 10: unknown split 'trian'(?s:.*)did you mean 'train'"):
        folder(root, labels=private_csv(root, "private/cy/0.PNG,Cy,trian"), identity_column="who").load(RUN)


def test_missing_files_and_a_class_without_any(root):
    lines = "private/cy/x.png,Cy,train\nprivate/cy/y.png,Cy,test\nprivate/ann/x.png,Ann,train"
    with pytest.raises(DataError, match=r"3 pictures that do not exist: .*x\.png.*nothing is left of 1 classes: Cy"):
        folder(root, labels=private_csv(root, lines), identity_column="who").content()


def test_csv_of_another_folder(root):
    listed = table(root / "public.csv", "file\nprivate/ann/0.PNG")
    with pytest.raises(DataError, match="1 pictures that are not in"):
        folder(root, public_labels=listed).load(RUN)


def test_picture_listed_twice(root):
    with pytest.raises(DataError, match="more than once"):
        folder(root, labels=private_csv(root, "private/ann/../ann/0.PNG,Ann,train"), identity_column="who").load(RUN)


def test_split_without_test(root):
    lines = "private/cy/0.PNG,Cy,train\nprivate/cy/2.PNG,Cy,train"
    with pytest.raises(DataError, match=r"Cy: 2 \(train 1, validation 1, test 0\)"):
        folder(root, labels=private_csv(root, lines), identity_column="who").load(RUN)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"file,who\n", "lists no picture"), (b"\xff\xfe\x00", "is not a CSV"), (None, "cannot be read")],
)
def test_bad_csv(root, content, words):
    file = root / "bad.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=words):
        folder(root, labels=str(file)).load(RUN)


def study() -> Path:
    here = os.environ.get("UNVEIL_STUDY_DATA", str(Path(__file__).parents[3] / ".." / "shared" / "data"))
    return Path(here) / "lfw158"


@pytest.mark.skipif(not study().is_dir(), reason="the lfw158 study pictures are not here (UNVEIL_STUDY_DATA)")
def test_lfw158_as_it_lies():
    at = study()
    chosen = Folder(
        private=str(at / "private"),
        public=str(at / "public-lfw-rest"),
        labels=str(at / "private.csv"),
        public_labels=str(at / "public-lfw-rest.csv"),
        min_images=36,
        max_public=50,
    )
    data = chosen.load(RUN)
    assert 2 < data.classes < 50
    assert "Abdullah_Gul" not in data.names
    assert data.train.shape == (3, 64, 64)
    assert len(data.public) == 50
    assert data.disjoint.startswith("by name")
    assert not data.publishable
    shares = torch.bincount(data.test.labels) / sum(
        torch.bincount(p.labels) for p in (data.train, data.validation, data.test)
    )
    assert 0.15 < shares.min() <= shares.max() < 0.25, "the CSV's 80/20"

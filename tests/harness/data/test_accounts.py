"""Everything below the roots is used or accounted for, and what would change a number is an error."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.harness.data import walk as walking
from unveil.harness.data.folder import Folder
from unveil.harness.words.errors import DataError
from unveil.harness.words.run import Run

PEOPLE = {"private": ("ann", "bob", "cyd"), "public": ("eve", "fay")}


def draw(file: Path, seed: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(file)
    return file


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Five pictures of each of three private and two public people, in the current folder."""
    seeds = iter(range(100))
    for side, names in PEOPLE.items():
        for name in names:
            for k in range(5):
                draw(tmp_path / side / name / f"{k}.png", next(seeds))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder(**settings) -> Folder:
    return Folder(**{"private": "private", "public": "public", "size": 16} | settings)


def load(**settings):
    chosen = folder(**settings)
    chosen.content()
    return chosen.load(Run("test"))


def told(data) -> str:
    return "\n".join(remark.sentence for remark in data.remarks)


def private(data) -> int:
    return len(data.train) + len(data.validation) + len(data.test)


def listing(extra=(), head="file,identity", fields="{file},{who}") -> dict[str, str]:
    files = sorted(str(file) for file in Path("private").glob("*/*.png"))
    lines = [fields.format(file=file, who=file.split("/")[1]) for file in files]
    Path("labels.csv").write_text("\n".join([head, *lines, *extra]) + "\n", encoding="utf-8")
    return {"labels": "labels.csv"}


def test_data_without_trouble_says_nothing_and_keep_their_split(root):
    data = load()
    assert data.remarks == ()
    assert data.disjoint.startswith("by name: none of the 3 private people")
    before = (folder().content(), data.checksum)
    (root / "private" / "zed").mkdir()
    (root / "private" / "ann" / "notes.txt").write_text("")
    assert (folder().content(), load().checksum) == before, "what is not used changes no number"
    assert told(load()) == (
        "not used, private: folders of people without a picture that is read: 1 (zed: empty)\n"
        "not used, private: other files: 1 (ann/notes.txt)"
    )


def test_links_are_followed_once_and_never_up(root):
    (root / "far").mkdir()
    draw(root / "far" / "more.png", 77)
    for name, target in {"loop": "..", "far": "../../far", "self": "self", "gone": "missing"}.items():
        os.symlink(target, root / "private" / "ann" / name)
    os.symlink("../private", root / "far" / "back")
    os.symlink("0.png", root / "private" / "ann" / "again.png")
    os.link("private/ann/1.png", "private/ann/hard.png")
    data = load()
    assert private(data) == 16
    for words in ("back up, which are not followed: 2", "lead nowhere: 2", "under another name (links): 2"):
        assert words in told(data)


@pytest.mark.parametrize("link", ["private/ann/more", "private/anna", "private/ann/x.png", "private/ann/hard.png"])
def test_nothing_is_two_peoples_by_a_link(root, link):
    target = root / "private" / ("bob/0.png" if link.endswith(".png") else "bob")
    (os.link if "hard" in link else os.symlink)(target, link)
    with pytest.raises(DataError, match="would be of two people"):
        folder().content()


def test_roots_that_share_a_file_are_refused(root):
    os.symlink("../../public/eve", root / "private" / "ann" / "more")
    with pytest.raises(DataError, match="5 files are private and public"):
        folder().content()
    with pytest.raises(DataError, match="the public root lies in the other"):
        folder(public="private/bob", public_folders="shards").content()


def test_a_folder_that_cannot_be_listed_is_an_error(root, monkeypatch):
    def scandir(path):
        if Path(path).name == "bob":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(walking.os, "scandir", scandir)
    with pytest.raises(DataError, match="bob cannot be listed: Permission denied"):
        folder().content()


def test_formats_that_are_not_read_are_named_and_content_beats_a_missing_ending(root):
    (root / "private" / "zed").mkdir()
    (root / "private" / "zed" / "IMG_0.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    draw(root / "x.png", 50).rename(root / "private" / "ann" / "no ending")
    draw(root / "x.png", 51).rename(root / "private" / "ann" / "0.png.bak")
    (root / "private" / "all.zip").write_text("")
    data = load()
    assert private(data) == 16
    assert "without a picture that is read: 1 (zed: 1 other files)" in told(data)
    assert "a format that is not read (.heic): 1 (zed/IMG_0.HEIC)" in told(data)
    assert "used, private: pictures by their content, whatever their ending says: 1 (ann/no ending)" in told(data)
    assert "none of a picture (.bak): 1 (ann/0.png.bak)" in told(data)
    assert "not opened: 1 (all.zip)" in told(data)


def test_split_folders_are_no_people(root):
    for split in ("train", "test"):
        shutil.copytree("private", f"splits/{split}")
    with pytest.raises(DataError, match="hardly people: test, train"):
        folder(private="splits").content()
    (root / "wrapped").mkdir()
    shutil.move("private", "wrapped/staff")
    with pytest.raises(DataError, match="hardly people: staff"):
        folder(private="wrapped").content()


@pytest.mark.parametrize("names", ["00000 01000", "part_1 part_2", "a b", "0a ff", "train test"])
def test_public_folders_that_can_be_shards_are_asked_about(root, names):
    for old, new in zip(PEOPLE["public"], names.split(), strict=True):
        (root / "public" / old).rename(root / "public" / new)
    with pytest.raises(DataError, match="can be shards"):
        folder().content()
    people, shards = load(public_folders="people"), load(public_folders="shards")
    assert people.disjoint.startswith("not known by name: 2 of 5 names")
    assert shards.public.labels.tolist() == [-1] * 10


def test_saying_what_was_taken_for_granted_is_the_same_question(root):
    assert folder().content() == folder(public_folders="people").content()


def test_copies_of_a_picture_are_used_once(root):
    for k in range(5):
        for n in range(3):
            shutil.copy(f"private/ann/{k}.png", f"private/ann/{k} ({n}).png")
    Image.open("public/eve/0.png").save("public/eve/z.bmp")
    shutil.copy("public/eve/1.png", "public/fay/z.png")
    data = load()
    assert private(data) == 15
    assert "copies of a picture that is used (identical pixels): 15" in told(data)
    assert "public: pictures that are there as two people's: 2 (eve/1.png, fay/z.png)" in told(data)
    seen = {picture.numpy().tobytes() for picture in data.train.pixels}
    assert not any(picture.numpy().tobytes() in seen for picture in data.test.pixels)


def test_a_picture_of_two_people_is_an_error(root):
    shutil.copy("private/ann/0.png", "private/bob/z.png")
    with pytest.raises(DataError, match=r"two people's, pixel for pixel: ann/0\.png = bob/z\.png"):
        load()


def test_copies_that_a_csv_puts_into_two_splits_are_an_error(root):
    shutil.copy("private/ann/0.png", "private/ann/4.png")
    chosen = listing(head="file,identity,split", fields="{file},{who},train")
    lines = Path("labels.csv").read_text().splitlines()
    Path("labels.csv").write_text(
        "\n".join(line.replace("train", "test") if "4.png" in line else line for line in lines)
    )
    with pytest.raises(DataError, match=r"two splits.*ann/0\.png = ann/4\.png"):
        load(**chosen)


def test_a_private_picture_among_the_public_ones_is_named(root):
    shutil.copy("private/ann/0.png", "public/eve/z.png")
    with pytest.raises(DataError, match=r"ann \(eve/z\.png is ann/0\.png\)"):
        load()


def test_one_name_in_two_unicode_forms(root):
    (root / "private" / "ann").rename(root / "private" / unicodedata.normalize("NFC", "José Peña"))
    (root / "public" / "eve").rename(root / "public" / unicodedata.normalize("NFD", "josé_peña\u200b"))
    with pytest.raises(DataError, match="1 people are private and public"):
        load()


def test_names_of_one_side_that_differ_in_spelling_only(root):
    (root / "private" / "bob").rename(root / "private" / "Ann ")
    with pytest.raises(DataError, match="'Ann ' and 'ann'"):
        load()


@pytest.mark.parametrize(
    ("side", "words"), [("private", "'007' and '7'"), ("public", "1 people are private and public")]
)
def test_a_number_that_a_spreadsheet_has_shortened_is_the_same(root, side, words):
    (root / "private" / "bob").rename(root / "private" / "7")
    (root / side / ("ann" if side == "private" else "eve")).rename(root / side / "007")
    with pytest.raises(DataError, match=words):
        load()


def test_names_that_are_not_utf8_can_be_stored_and_printed(root):
    os.rename(b"private/ann", b"private/caf\xe9")
    Path(os.fsdecode(b"private/bob/\xff.txt")).write_text("")
    data = load()
    assert data.names == ("bob", "caf\\xe9", "cyd")
    assert "other files: 1 (bob/\\xff.txt)" in told(data)


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_label_files_as_spreadsheets_write_them(root, mark):
    chosen = listing(head=f"File{mark} Identity ", fields=f'{{file}}{mark}"Smith, {{who}}"')
    assert load(**chosen).names == ("Smith, ann", "Smith, bob", "Smith, cyd")
    text = Path("labels.csv").read_text()
    Path("labels.csv").write_bytes(text.encode("utf-16"))
    assert load(**chosen).names[0] == "Smith, ann"


def test_windows_paths_and_a_header_in_capitals(root):
    chosen = listing(head="FILE,Identity,Split", fields="{file},{who},train")
    lines = Path("labels.csv").read_text().splitlines()
    lines[1:] = [row.replace("train", "test") if "0.png" in row else row for row in lines[1:]]
    Path("labels.csv").write_text("\n".join(lines).replace("/", "\\"))
    data = load(**chosen)
    assert len(data.test) == 3, "the splits of the file are used"
    assert "used, private: paths in the CSV with other separators" in told(data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"fields": "{file},Smith, {who}"}, r"line 2: 3 fields, but the header has 2 columns.*(?s:.*)Smith, Ann"),
        ({"head": "file;identity", "fields": "{file};{who}", "extra": ["private/x.png"]}, "line 17: 1 fields"),
        ({"head": "file,Identity,identity ", "fields": "{file},{who},x"}, "2 columns of one name"),
        ({"head": "private/ann/0.png,ann"}, "has no header"),
        (
            {"head": "file,identity,subset", "fields": "{file},{who},train", "extra": [",,test"]},
            "in the column 'subset'",
        ),
        ({"extra": ["private/ann/0.png,ann"]}, r"more than once: .*lines 2 and 17"),
        ({"extra": ['private/ann/0.png,"ann', 'private/ann/1.png,ann"']}, "line 17: a field goes on in the next line"),
        ({"extra": [",ann"]}, "line 17: no file is named"),
        ({"fields": "C:\\x\\{file},{who}"}, "a path of another machine"),
        ({"fields": "{file},nan"}, "line 2: 'nan' in the column 'identity' is hardly a person"),
        ({"head": "file,subject"}, r"has no column that says who(?s:.*)columns are file, subject"),
    ],
)
def test_label_files_that_would_change_a_number(root, text, words):
    with pytest.raises(DataError, match=words):
        folder(**listing(**text)).content()


def test_what_a_label_file_leaves_out_is_accounted_for(root):
    chosen = listing(head="file,name,identity", fields="{file},x,{who}")
    draw(root / "private" / "ann" / "new.png", 60)
    data = load(**chosen)
    assert "pictures that the CSV does not list: 1 (ann/new.png)" in told(data)
    assert "as the column 'identity' does: 1 (name)" in told(data)


def test_one_folder_with_two_label_files(root):
    shutil.move("public/eve", "private/eve")
    shown = ["file"] + [f"private/eve/{k}.png" for k in range(5)]
    Path("public.csv").write_text("\n".join(shown))
    lines = [line for line in Path(listing()["labels"]).read_text().splitlines() if "eve" not in line]
    Path("labels.csv").write_text("\n".join(lines))
    both = {"labels": "labels.csv", "public_labels": "public.csv", "public": "private"}
    assert load(**both).remarks == ()
    Path("public.csv").write_text("\n".join([*shown, "private/ann/0.png"]))
    with pytest.raises(DataError, match=r"1 files are private and public.*ann/0\.png"):
        folder(**both).content()


def test_pictures_that_show_nothing_are_errors(root):
    grey = np.asarray(Image.open("private/ann/0.png").convert("L"))
    Image.new("RGB", (20, 20), (200, 10, 10)).save("private/ann/red.png")
    Image.fromarray(grey.astype(np.uint16)).save("private/ann/eight.png")
    Image.fromarray(grey.astype(np.uint16) * 60).save("private/ann/fourteen.png")
    Image.fromarray(grey.astype(np.int32) * 70000).save("private/ann/deep.tif")
    with pytest.raises(DataError, match="4 of 19 pictures cannot be read") as caught:
        load()
    for words in (
        "red.png: it is all of one colour",
        "eight.png: it is entirely or nearly black",
        "fourteen.png: 16-bit file",
        "of unknown range",
    ):
        assert words in str(caught.value)


def test_odd_pictures_are_used_and_said(root):
    frames = [Image.open(f"private/ann/{k}.png").transpose(Image.Transpose.ROTATE_90) for k in range(2)]
    frames[0].save("private/ann/a.gif", save_all=True, append_images=frames[1:])
    Image.open("private/ann/0.png").resize((90, 10)).save("private/ann/long.png")
    data = load()
    assert private(data) == 17
    for words in ("several frames, of which the first is taken: 1", "smaller than 16 pixels, which are enlarged: 1"):
        assert words in told(data)
    assert "more than 3 times as long as wide: 1 (ann/long.png)" in told(data)


def test_what_lies_beside_is_looked_up_anew(root):
    chosen = folder()
    assert list(chosen.passed_over()) == []
    (root / "public" / "zed").mkdir()
    assert [remark.names for remark in chosen.passed_over()] == [("zed: empty",)]

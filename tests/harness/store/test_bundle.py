"""A bundle carries one matrix whole, and nothing gets into a store that it does not say of itself."""

import hashlib
import json
import stat
import zipfile

import pytest
import torch

from unveil.harness.figures.rows import Picture, Results
from unveil.harness.running import bundles
from unveil.harness.store import inventory, manifest
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.account import Account, Part
from unveil.harness.words.errors import DamageError, StoreError

KEYS = ("ab" * 32, "cd" * 32)
PART = Part(people=1, pictures=1, fewest=1, most=1)


def account(publishable):
    return Account(parts=dict.fromkeys(("train", "validation", "test", "public"), PART), people={"ann": (1, 1, 1)},
                   publishable=publishable)  # fmt: skip


def results(publishable=True):
    cell = {"data": "d", "model": "m", "defense": "none", "attack": "a", "seed": 0}
    picture = Picture(**cell, png="aaaa", people=["ann"], publishable=publishable, caption="")
    return Results(
        title="T", plan="title = 'T'", accounts={"d": account(publishable)}, pictures=(picture,),
        provenance={key: {"kind": "target", "seconds": 1.0} for key in KEYS},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    made = Store(str(tmp_path / "store"))
    for number, key in enumerate(KEYS):
        tensors = {"x": torch.arange(3.0), "n": torch.tensor(number)}
        made.save(key, Artefact({"n": number}, tensors, {"a.png": b"one"}, {"kind": "target", "seconds": 1.0}))
    return made


def export(store, out, made=None, private=False):
    return bundles.export(out, store, "tiny", made or results(), lambda told: told.model_dump_json(), private=private)


@pytest.mark.parametrize("to", ["folder", "memory"])
def test_what_is_exported_is_imported_somewhere_else(store, tmp_path, to):
    out = tmp_path / "tiny.zip"
    packed = export(store, out)
    assert packed == export(store, tmp_path / "again.zip")  # the same bytes, whenever
    other = Store(str(tmp_path / "other") if to == "folder" else f"memory://{tmp_path.name}")
    found = bundles.receive(out, other)
    assert (found.folder, found.artefacts, found.results) == ("reports/tiny", 2, results())
    for key in KEYS:
        assert other.load(key).record == store.load(key).record
        assert torch.equal(other.load(key).tensors["n"], store.load(key).tensors["n"])
    assert not inventory.verify(other).damaged
    assert bundles.receive(out, other).folder == "reports/tiny"
    others = export(store, out, results().model_copy(update={"title": "of another laboratory"}))
    assert bundles.receive(out, other).folder not in ("reports/tiny", others)
    assert bundles.receive(tmp_path / "again.zip", other).folder == "reports/tiny"


def test_what_is_here_stays_as_it_is(store, tmp_path):
    out = tmp_path / "tiny.zip"
    export(store, out)
    other = Store(str(tmp_path / "other"))
    other.save(KEYS[0], Artefact({"n": "mine"}, provenance={"seconds": 1}))
    bundles.receive(out, other)
    assert [other.record(key)["n"] for key in KEYS] == ["mine", 1]


def test_private_pictures_stay_at_home_unless_asked_for(store, tmp_path):
    out = tmp_path / "tiny.zip"
    assert export(store, out, results(publishable=False)).artefacts == 0
    content = out.read_bytes()
    assert b"ann" not in content
    assert b"aaaa" not in content
    assert bundles.receive(out, Store(str(tmp_path / "other"))).artefacts == 0
    assert export(store, out, results(publishable=False), private=True).artefacts == 2
    assert export(store, out, results().model_copy(update={"accounts": {}})).artefacts == 0  # nobody knows


@pytest.mark.parametrize("what", ["artefacts", "blobs"])
def test_a_damaged_store_gives_no_bundle(store, tmp_path, what):
    path = next(path for path in (tmp_path / "store" / what).rglob("*") if path.is_file())
    path.write_bytes(b"junk")
    with pytest.raises(DamageError):
        export(store, tmp_path / "tiny.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


class Bundle:
    """The members of a good bundle, to be spoilt."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as packed:
            self.members = {name: packed.read(name) for name in packed.namelist()}
        self.told = json.loads(self.members["bundle.json"])
        self.mode, self.method, self.twice = stat.S_IFREG, zipfile.ZIP_STORED, False

    def add(self, name, data=b"x", list_it=True):

        self.members[name] = data
        if list_it:
            self.told["sha256"][name] = hashlib.sha256(data).hexdigest()

    def write(self, path):
        if "bundle.json" in self.members:
            self.members["bundle.json"] = json.dumps(self.told).encode()
        with zipfile.ZipFile(path, "w", self.method) as packed:
            for name, data in self.members.items():
                member = zipfile.ZipInfo(name)
                member.external_attr = (self.mode | 0o644) << 16
                packed.writestr(member, data, self.method)


def changed_record(bundle):
    name = f"artefacts/{KEYS[0]}.json"
    bundle.add(name, bundle.members[name].replace(b'"n":0', b'"n":7'))


def without_seconds(bundle):
    bundle.add(f"artefacts/{KEYS[0]}.json", manifest.written({}, {}, {"kind": "target"}))


HOSTILE = {
    "climbs": lambda b: b.add("../../escaped"),
    "climbs inside": lambda b: b.add("blobs/../../../escaped"),
    "absolute": lambda b: b.add("/tmp/escaped"),
    "drive": lambda b: b.add("C:\\escaped"),
    "backslashes": lambda b: b.add("..\\..\\escaped"),
    "code": lambda b: b.add("evil.py"),
    "a pickle": lambda b: b.add(f"artefacts/{KEYS[0]}.pkl"),
    "a short key": lambda b: b.add("artefacts/ab.json"),
    "a key with a dot": lambda b: b.add(f"artefacts/{'.' * 64}.json"),
    "a folder": lambda b: b.add("artefacts/"),
    "a line break": lambda b: b.add(f"artefacts/{KEYS[0]}.json\n"),
    "links": lambda b: setattr(b, "mode", stat.S_IFLNK),
    "devices": lambda b: setattr(b, "mode", stat.S_IFCHR),
    "compressed": lambda b: setattr(b, "method", zipfile.ZIP_DEFLATED),
    "not listed": lambda b: b.add(f"blobs/ef/{'ef' * 32}", list_it=False),
    "listed and not there": lambda b: b.members.pop("plan.toml"),
    "changed": lambda b: b.members.update({"plan.toml": b"other"}),
    "a blob of another name": lambda b: b.add(f"blobs/ef/{'ef' * 32}"),
    "a changed number": changed_record,
    "no seconds": without_seconds,
    "no blob": lambda b: [(b.members.pop(n), b.told["sha256"].pop(n)) for n in list(b.members) if n.startswith("blob")],
    "no results": lambda b: (b.members.pop("results.json"), b.told["sha256"].pop("results.json")),
    "other results": lambda b: b.add("results.json", b'{"title": "T", "plan": "", "code": "x"}'),
    "deep results": lambda b: b.add("results.json", b"[" * 100_000),
    "results that are no text": lambda b: b.add("results.json", b"\xff\xfe"),
    "a later format": lambda b: b.told.update(format=2),
    "no format": lambda b: b.told.pop("format"),
    "no name": lambda b: b.told.update(name=["x"]),
    "no sums": lambda b: b.told.update(sha256=["x"]),
    "no contents": lambda b: b.members.pop("bundle.json"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_bundle_is_refused_before_anything_is_written(store, tmp_path, how):
    path = tmp_path / "tiny.zip"
    export(store, path)
    bundle = Bundle(path)
    HOSTILE[how](bundle)
    bundle.write(path)
    other = Store(str(tmp_path / "deep" / "er" / "other"))
    with pytest.raises(StoreError, match=r"bundle"):
        bundles.receive(path, other)
    assert other.files.sizes() == {}
    assert not list(tmp_path.rglob("escaped*"))


def test_a_file_that_says_more_bytes_than_it_has_is_refused(store, tmp_path):
    """Members that lie over each other unpack to more than the file."""
    path = tmp_path / "tiny.zip"
    export(store, path)
    data = path.read_bytes()
    record = data.index(b"PK\x01\x02")
    path.write_bytes(data[: record + 24] + (1 << 30).to_bytes(4, "little") + data[record + 28 :])
    with pytest.raises(StoreError, match="bundle"):
        bundles.receive(path, Store(str(tmp_path / "other")))


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04", b"no zip" * 99])
def test_no_zip_is_no_bundle(tmp_path, junk):
    (tmp_path / "tiny.zip").write_bytes(junk)
    with pytest.raises(StoreError, match="is no bundle, or damaged"):
        bundles.receive(tmp_path / "tiny.zip", Store(str(tmp_path / "other")))


def test_a_name_in_a_bundle_leads_nowhere_else(store, tmp_path):
    path = tmp_path / "tiny.zip"
    export(store, path)
    bundle = Bundle(path)
    bundle.told["name"] = "../../escaped"
    bundle.write(path)
    found = bundles.receive(path, Store(str(tmp_path / "deep" / "other")))
    assert (tmp_path / "deep" / "other" / found.folder / "results.json").exists()
    assert found.folder.count("/") == 1

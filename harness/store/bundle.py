"""One matrix as one file, for review or publication: its plan, results, artefacts and their checksums, in a zip.

What is read from a bundle is data of a stranger. Nothing in it is executed, only names that a bundle has are looked at,
everything is stored as it is (a file that unpacks to more than itself is refused), and nothing enters the store before
all of it has been compared with its checksums. Whether its numbers are true, no checksum can tell.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import struct
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unveil.harness.store import manifest as manifests
from unveil.harness.store.artefacts import AGAIN, Store
from unveil.harness.store.files import UnreadableError
from unveil.harness.words.disk import in_words
from unveil.harness.words.errors import DamageError, StoreError

FORMAT = 1
CONTENTS = "bundle.json"
TEXTS = ("plan.toml", "results.json", "leaderboard.html", "submission.json")
LARGEST = 256_000_000  # bytes of a text or a manifest: parsing takes many times as much memory
NAMES = re.compile(
    rf"{'|'.join(map(re.escape, TEXTS))}|artefacts/[0-9a-f]{{64}}\.json|blobs/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}"
)
WHEN = (1980, 1, 1, 0, 0, 0)  # so that equal contents are equal bytes
TODO = "ask whoever made it for another"


@dataclass(frozen=True)
class Packed:
    """A bundle that was written.

    Attributes:
        sha256: Of the file.
        bytes: Of the file.
        artefacts: How many are in it.
    """

    sha256: str
    bytes: int
    artefacts: int


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found to be what it says.

    Attributes:
        name: Of the plan.
        texts: By the names in `TEXTS`.
        sha256: Of all contents, by name.
        artefacts: Keys.
    """

    name: str
    texts: Mapping[str, str]
    sha256: Mapping[str, str]
    artefacts: tuple[str, ...]


def write(out: Path, store: Store, name: str, keys: Iterable[str], texts: Mapping[str, str]) -> Packed:
    """Writes a bundle, whole or not at all; equal contents are equal bytes.

    Args:
        out: The file.
        store: Where artefacts are.
        name: Of the plan.
        keys: Of the artefacts that are to be in it.
        texts: By the names in `TEXTS`.

    Raises:
        DamageError: If an artefact is missing or damaged.
        StoreError: If the file cannot be written.
    """
    part = out.with_name(f"{out.name}.{uuid.uuid4().hex}.part")
    keys = sorted(keys)
    with in_words(f"the bundle {str(out)!r}"):
        try:
            with zipfile.ZipFile(part, "x", allowZip64=True) as made:
                sums = {member: _add(made, member, data) for member, data in _contents(store, keys, texts)}
                told = {"format": FORMAT, "unveil": version("unveil"), "name": name, "sha256": sums}
                _add(made, CONTENTS, (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
        with out.open("rb") as file:
            return Packed(hashlib.file_digest(file, "sha256").hexdigest(), out.stat().st_size, len(keys))


def _small(name: str, data: bytes) -> bytes:
    """What a reader will not refuse for its size.

    Raises:
        StoreError: If it would.
    """
    if len(data) > LARGEST:
        raise StoreError(
            f"{name} has {len(data):,} bytes", f"at most {LARGEST:,}", "show fewer people: lower `pictures` in the plan"
        )
    return data


def _contents(store: Store, keys: Iterable[str], texts: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    yield from ((name, _small(name, texts[name].encode())) for name in sorted(texts))
    blobs: set[str] = set()
    for key in keys:
        data = _stored(store, manifests.place(key))
        blobs.update(store.blobs(key).values())
        yield manifests.place(key), data
    for name in sorted(blobs):
        data = _stored(store, manifests.blob(name))
        if hashlib.sha256(data).hexdigest() != name:
            raise DamageError(f"blob {name[:12]} in {store.url} is damaged", "what was stored", AGAIN)
        yield manifests.blob(name), data


def _stored(store: Store, path: str) -> bytes:
    try:
        if (data := store.files.get(path)) is not None:
            return data
        why = "is lost"
    except UnreadableError as error:
        why = str(error)
    raise DamageError(f"{path} in {store.url} {why}", "what was stored", AGAIN)


def _add(made: zipfile.ZipFile, name: str, data: bytes) -> str:
    member = zipfile.ZipInfo(name, WHEN)
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    made.writestr(member, data, zipfile.ZIP_STORED)
    return hashlib.sha256(data).hexdigest()


def read(source: Path, called: str = "") -> Bundle:
    """Reads a bundle, all of it, and writes nothing.

    Args:
        source: The file.
        called: What errors call it; empty: by its path.

    Raises:
        StoreError: If it is no bundle, or not what it says.
    """
    with _opened(source, called or str(source)) as packed:
        return _Reader(packed, source.stat().st_size, called or str(source)).bundle()


def bring_in(source: Path, store: Store, check: Callable[[Bundle], object]) -> Bundle:
    """Reads a bundle, all of it before anything is written, and takes its artefacts into a store.

    Args:
        source: The file.
        store: What is known there already stays as it is.
        check: Raises if something else is wrong with it.

    Raises:
        StoreError: If it is no bundle, or not what it says, or the store cannot be written.
    """
    with _opened(source, str(source)) as packed:
        bundle = _Reader(packed, source.stat().st_size, str(source)).bundle()
        check(bundle)
        for member in bundle.sha256:
            if member.startswith(f"{manifests.BLOBS}/"):
                store.put_blob(member.rpartition("/")[2], packed.read(member))
        for key in bundle.artefacts:
            if not store.usable(key):
                store.files.create(manifests.place(key), packed.read(manifests.place(key)))
    return bundle


@contextmanager
def _opened(source: Path, called: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(source) as packed:
            yield packed
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise StoreError(
            f"{called!r} is no bundle, or damaged: {error}", "what `unveil store export` writes", TODO
        ) from error


class _Reader:
    """Compares a bundle with what it says of itself."""

    def __init__(self, packed: zipfile.ZipFile, size: int, called: str) -> None:
        self.packed, self.size, self.called = packed, size, called

    def refuse(self, why: str) -> StoreError:
        return StoreError(f"the bundle {self.called!r} is refused: {why}", "what `unveil store export` writes", TODO)

    def bundle(self) -> Bundle:
        self.members()
        told = self.contents()
        for name, sha256 in told["sha256"].items():
            if hashlib.sha256(self.packed.read(name)).hexdigest() != sha256:
                raise self.refuse(f"{name} has not the checksum that it says")
        keys = tuple(self.artefact(name) for name in told["sha256"] if name.startswith(f"{manifests.ARTEFACTS}/"))
        texts = {name: self.packed.read(name).decode() for name in TEXTS if name in told["sha256"]}
        return Bundle(told["name"], texts, told["sha256"], keys)

    def members(self) -> None:
        """Before anything is read: names, kinds and sizes."""
        infos = self.packed.infolist()
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise self.refuse("a name is there twice")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.filename != CONTENTS and not NAMES.fullmatch(info.filename):
                raise self.refuse(f"{info.filename[:100]!r} is no name of a file in a bundle")
            if kind not in (0, stat.S_IFREG) or info.flag_bits & 0x1 or info.compress_type != zipfile.ZIP_STORED:
                raise self.refuse(f"{info.filename} is a link, encrypted or compressed")
            if info.file_size > LARGEST and not info.filename.startswith(f"{manifests.BLOBS}/"):
                raise self.refuse(f"{info.filename} has {info.file_size:,} bytes, and at most {LARGEST:,} are read")
        if sum(info.file_size for info in infos) > self.size:
            raise self.refuse("it unpacks to more than itself")
        if CONTENTS not in names:
            raise self.refuse(f"it has no {CONTENTS}")

    def contents(self) -> dict[str, Any]:
        """What it says of itself: format, name, and a checksum for each other member."""
        try:
            told = json.loads(self.packed.read(CONTENTS))
            number, name, sums = told["format"], told["name"], told["sha256"]
        except (ValueError, RecursionError, LookupError, TypeError):
            raise self.refuse(f"{CONTENTS} is damaged") from None
        if number != FORMAT:
            raise self.refuse(f"it has format {str(number)[:20]}, and this version of unveil reads {FORMAT}")
        if not (isinstance(name, str) and isinstance(sums, dict) and all(isinstance(s, str) for s in sums.values())):
            raise self.refuse(f"{CONTENTS} is damaged")
        if set(sums) != set(self.packed.namelist()) - {CONTENTS}:
            raise self.refuse(f"{CONTENTS} names other files than there are")
        if wrong := [n for n, s in sums.items() if n.startswith("blobs/") and n.rpartition("/")[2] != s]:
            raise self.refuse(f"{wrong[0]} is not called by its checksum")
        return {"name": name, "sha256": sums}

    def artefact(self, name: str) -> str:
        """The key of an artefact whose manifest is whole and names what is there."""
        try:
            read = manifests.whole(self.packed.read(name))
            lost = {manifests.blob(blob) for blob in read["blobs"].values()} - set(self.packed.namelist())
            usable = isinstance(read["record"], dict) and float(read["provenance"]["seconds"]) >= 0
        except (UnreadableError, LookupError, AttributeError, TypeError, ValueError):
            raise self.refuse(f"{name} is no manifest") from None
        if not usable:
            raise self.refuse(f"{name} is no manifest")
        if lost:
            raise self.refuse(f"{name} names {sorted(lost)[0]}, which is not there")
        return name.rpartition("/")[2].removesuffix(manifests.ENDING)

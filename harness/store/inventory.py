"""What a store holds: how much of what, and whether all of it is as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from unveil.harness.store import manifest as manifests
from unveil.harness.store.artefacts import Store
from unveil.harness.store.files import Files, UnreadableError

AT_ONCE = 4  # blobs that are hashed at once on a bucket; each is in memory meanwhile
ELSEWHERE = {
    "scratch": "checkpoints of unfinished steps",
    "aside": "set aside",
    "reports": "reports",
    "probes": "timings of steps",
}
REST = "else"


@dataclass(frozen=True)
class Held:
    """An artefact as its manifest tells.

    Attributes:
        key: Its name.
        kind: Of step.
        label: In words.
        blobs: SHA-256 of its blobs, by name.
    """

    key: str
    kind: str
    label: str
    blobs: Mapping[str, str]


@dataclass(frozen=True)
class Inventory:
    """All files of a store, from one listing, and all its manifests.

    Attributes:
        sizes: Bytes by path.
        held: By key; without those whose manifests cannot be read.
        unreadable: Why a manifest cannot be read, by its path.
    """

    sizes: Mapping[str, int]
    held: Mapping[str, Held]
    unreadable: Mapping[str, str]

    def bytes_of(self, keys: Iterable[str]) -> int:
        """Bytes of these artefacts, what they share counted once."""
        return sum(self.sizes.get(path, 0) for path in self.paths_of(keys))

    def paths_of(self, keys: Iterable[str]) -> set[str]:
        """Manifests and blobs of these artefacts."""
        found = [self.held[key] for key in keys if key in self.held]
        blobs = {manifests.blob(blob) for one in found for blob in one.blobs.values()}
        return blobs | {manifests.place(one.key) for one in found}

    def orphans(self) -> list[str]:
        """Blobs that no manifest names: what killed runs leave."""
        named = self.paths_of(self.held)
        return [path for path in self.sizes if path.startswith(f"{manifests.BLOBS}/") and path not in named]

    def outside(self) -> dict[str, int]:
        """Bytes that are of no artefact, by what they are."""
        found = {"blobs that nothing names": sum(self.sizes[path] for path in self.orphans())}
        for path, size in self.sizes.items():
            folder = path.partition("/")[0]
            if folder not in (manifests.ARTEFACTS, manifests.BLOBS):
                what = ELSEWHERE.get(folder, REST)
                found[what] = found.get(what, 0) + size
        return found


def take(store: Store) -> Inventory:
    """Lists a store and reads its manifests.

    Raises:
        StoreError: If it cannot be read.
    """
    sizes = store.files.sizes()
    ours = [path for path in sizes if path.startswith(f"{manifests.ARTEFACTS}/") and path.endswith(manifests.ENDING)]
    held, unreadable = {}, {}
    read = store.files.get_many(ours)
    for path in ours:
        try:
            if path not in read:
                raise UnreadableError("cannot be read")
            key = path.rpartition("/")[2].removesuffix(manifests.ENDING)
            held[key] = _held(key, manifests.whole(read[path]))
        except UnreadableError as why:
            unreadable[path] = str(why)
    return Inventory(sizes, held, unreadable)


def _held(key: str, read: Mapping[str, Any]) -> Held:
    behind = read["provenance"]
    return Held(key, str(behind.get("kind", "unknown")), str(behind.get("label", "")), read["blobs"])


@dataclass(frozen=True)
class Verdict:
    """What verifying a store found.

    Attributes:
        artefacts: How many there are.
        blobs: How many blobs were hashed.
        bytes: How many bytes they have.
        damaged: What is wrong, by path.
        hit: Artefacts that are of no use for it.
    """

    artefacts: int
    blobs: int
    bytes: int
    damaged: Mapping[str, str] = field(default_factory=dict)
    hit: tuple[Held, ...] = ()


def verify(store: Store) -> Verdict:
    """Hashes every blob and reads every manifest; changes nothing.

    Raises:
        StoreError: If the store cannot be read.
    """
    found = take(store)
    blobs = [path for path in found.sizes if path.startswith(f"{manifests.BLOBS}/")]
    with ThreadPoolExecutor(1 if store.local is not None else AT_ONCE) as pool:
        told = dict(zip(blobs, pool.map(lambda path: _wrong(store.files, path), blobs), strict=True))
    lost = {path: "is lost" for path in found.paths_of(found.held) if path not in found.sizes}
    damaged = {**found.unreadable, **{path: why for path, why in told.items() if why}, **lost}
    hit = [one for one in found.held.values() if any(manifests.blob(b) in damaged for b in one.blobs.values())]
    total = sum(found.sizes[path] for path in blobs)
    return Verdict(len(found.held) + len(found.unreadable), len(blobs), total, damaged, tuple(hit))


def _wrong(files: Files, path: str) -> str:
    """What is wrong with a blob; nothing if it is as it was written."""
    try:
        data = files.get(path)
    except UnreadableError as why:
        return str(why)
    if data is None:
        return "is lost"
    good = hashlib.sha256(data).hexdigest() == path.rpartition("/")[2]
    return "" if good else "is damaged" if data else "is empty"


def set_aside(store: Store, verdict: Verdict) -> None:
    """Moves what is damaged out of the way, so that the next run computes it anew.

    Raises:
        StoreError: If it cannot be moved.
    """
    for path, why in verdict.damaged.items():
        if why != "is lost":
            store.files.set_aside(path, why)
    for one in verdict.hit:
        store.files.set_aside(manifests.place(one.key), "names what is damaged or lost")

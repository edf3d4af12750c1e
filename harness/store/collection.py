"""Garbage: what no plan that is named reaches, and nothing that is pinned."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from unveil.harness.store import inventory
from unveil.harness.store.artefacts import Store
from unveil.harness.store.inventory import Inventory
from unveil.harness.store.manifest import ARTEFACTS, BLOBS
from unveil.harness.words.errors import StoreError, listed

PINS = "pins"
PROBES = "probes"  # what steps may take, by the key of the one that was timed


@dataclass(frozen=True)
class Garbage:
    """What may be deleted.

    Attributes:
        paths: Files, by what they are.
        sizes: Bytes, by the same.
        kept: How many artefacts stay.
    """

    paths: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]
    kept: int


def find(store: Store, reached: Collection[str]) -> Garbage:
    """What is in a store and not reached.

    Args:
        store: Where.
        reached: Keys of the steps of all plans that are to stay as they are; those of pinned results stay, too.

    Raises:
        StoreError: If the store cannot be read, or a pin.
    """
    found = inventory.take(store)
    keys = {*reached, *(key for names in pins(store).values() for key in names)}
    kept = [key for key in found.held if key in keys]
    stay = found.paths_of(kept)
    paths: dict[str, list[str]] = {}
    for path in found.sizes:
        if path not in stay and (what := _what(path, keys, found)):
            paths.setdefault(what, []).append(path)
    sizes = {what: sum(found.sizes[path] for path in some) for what, some in paths.items()}
    return Garbage(paths, sizes, len(kept))


def _what(path: str, keys: Collection[str], found: Inventory) -> str:
    """What kind of garbage a file is that is of no artefact that stays; empty if it is none."""
    folder, _, rest = path.partition("/")
    if path.endswith(".part"):
        return "half-written files"
    if folder in (ARTEFACTS, BLOBS):
        return "steps of no named plan"
    if folder == "aside":
        return "set aside"
    key = rest.partition("/")[0]
    if folder == "scratch" and (key not in keys or key in found.held):
        return "checkpoints of steps that are finished or of no named plan"
    if folder == PROBES and rest.partition("-")[0] not in keys:
        return "timings of steps of no named plan"
    return ""


def delete(store: Store, garbage: Garbage) -> None:
    """Deletes it, manifests before what they name: what is left is whole at any moment.

    Raises:
        StoreError: If another run is at work in the store, or something cannot be deleted.
    """
    if at_work := store.at_work():
        raise StoreError(
            f"a run is at work in {store.url}: {listed(at_work)}",
            "nobody who may need what is deleted",
            "wait for it to end, or stop it, and run the same command again",
        )
    paths = sorted(path for some in garbage.paths.values() for path in some)
    store.files.remove([path for path in paths if path.startswith(f"{ARTEFACTS}/")])
    store.files.remove([path for path in paths if not path.startswith(f"{ARTEFACTS}/")])
    store.forget([path.rpartition("/")[2].removesuffix(".json") for path in paths if path.startswith(f"{ARTEFACTS}/")])


def pin(store: Store, name: str, keys: Collection[str]) -> None:
    """Keeps these steps from being collected, whatever becomes of the plan and the code they are of.

    Raises:
        StoreError: If the store cannot be written.
    """
    store.put_text(f"{PINS}/{name}.json", json.dumps(sorted(keys), indent=1) + "\n")


def unpin(store: Store, name: str) -> bool:
    """Lets them be collected again; returns whether something of that name was pinned.

    Raises:
        StoreError: If the store cannot be written.
    """
    if f"{name}.json" not in store.files.names(PINS):
        return False
    store.files.remove([f"{PINS}/{name}.json"])
    return True


def pins(store: Store) -> dict[str, list[str]]:
    """Keys of what is pinned, by name.

    Raises:
        StoreError: If one cannot be read: what it keeps would be deleted.
    """
    names = [name.removesuffix(".json") for name in store.files.names(PINS) if name.endswith(".json")]
    return {name: _pinned(store, name) for name in names}


def _pinned(store: Store, name: str) -> list[str]:
    with suppress(ValueError, RecursionError):
        keys = json.loads(store.get_text(f"{PINS}/{name}.json") or "")
        if isinstance(keys, list) and all(isinstance(key, str) for key in keys):
            return keys
    raise StoreError(
        f"{PINS}/{name}.json in {store.url} cannot be read, so nobody knows what it keeps",
        "a list of keys",
        f"pin {name} again, or remove it with `unveil store pin {name} --remove`",
    )

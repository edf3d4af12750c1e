"""Which paths inside a package may be unpacked."""

from __future__ import annotations

from pathlib import PurePosixPath

from unveil.harness.assets.asset import Asset
from unveil.harness.words.errors import AssetError


def require_safe(asset: Asset, package: str, name: str) -> None:
    """Refuses a member that would come to lie outside the folder it is unpacked into.

    Raises:
        AssetError: If it is absolute, goes up, or has Windows' separators or drives.
    """
    if ".." in PurePosixPath(name).parts or name.startswith("/") or "\\" in name or ":" in name:
        raise AssetError(f"{package} holds the unsafe path {name!r}", asset.member, asset.by_hand())

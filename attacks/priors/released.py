"""The names that the networks of GMI, KEDMI and PLG-MI have in their released checkpoints, over our own tensors.

No paper tells them; they are those of the public code, where generator and critic have a file each.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from unveil.attacks.priors.conditional_networks import DPLG, GPLG, ConditionalBatchNorm, Up
from unveil.attacks.priors.networks import DMB, DWGAN, GZ100
from unveil.harness.words.prior import Renamed

SIZE_OF_UP = 3  # modules of G_z100 that double the side: a convolution, its normalisation, ReLU
CONVOLUTIONS = {"c1": "conv1", "c2": "conv2", "c_sc": "shortcut"}  # of residual blocks, and what they are here
SIZE_OF_DOWN = 3  # modules of the critics that halve it


class Named(nn.Module):
    """Modules under other names: to fill and to compare.

    Args:
        parts: By name.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def of_pair(network: nn.Module, critic: nn.Module) -> Renamed:
    """A generator beside a critic under its released names; a generator taken from another prior keeps its own."""
    return Renamed({"generator": of_z100(network) if isinstance(network, GZ100) else network, "critic": critic})


def of_z100(network: GZ100) -> nn.Module:
    """``l1`` and ``l2_5``, whose doublings are a row each."""
    *ups, last, _ = list(network.up)
    rows = [nn.Sequential(*ups[i : i + SIZE_OF_UP]) for i in range(0, len(ups), SIZE_OF_UP)]
    return Named({"l1": nn.Sequential(network.start[0], network.start[1]), "l2_5": nn.Sequential(*rows, last)})


def of_dwgan(critic: DWGAN) -> nn.Module:
    """``ls``: the first convolution and its activation, rows that halve, and the score."""
    first, active, *downs, last = list(critic.layers)
    rows = [nn.Sequential(*downs[i : i + SIZE_OF_DOWN]) for i in range(0, len(downs), SIZE_OF_DOWN)]
    return Named({"ls": nn.Sequential(first, active, *rows, last)})


def of_dmb(critic: DMB) -> nn.Module:
    """``layer1`` to ``layer4``, ``mbd1.T`` with an axis for the length of a projection, and ``fc_layer``."""
    downs = list(critic.layers)[:-1]
    rows = [nn.Sequential(*downs[i : i + SIZE_OF_DOWN]) for i in range(0, len(downs), SIZE_OF_DOWN)]
    closeness, shared = critic.closeness, nn.Module()
    shared.T = nn.Parameter(closeness.theta.data.view(-1, closeness.kernels, closeness.dim), requires_grad=False)
    numbered = {f"layer{k}": row for k, row in enumerate(rows, 1)}
    return Named({**numbered, "mbd1": shared, "fc_layer": critic.head})


def of_gplg(network: GPLG) -> nn.Module:
    """``l1``, ``block2`` and so on, then a normalisation and a convolution with the number after the last block's."""
    blocks = {f"block{k}": Named({**_convolutions(up), **_norms(up)}) for k, up in enumerate(network.blocks, 2)}
    last = len(blocks) + 2
    return Named({"l1": network.start[0], **blocks, f"b{last}": network.end[0], f"conv{last}": network.end[2]})


def _convolutions(block: nn.Module) -> dict[str, nn.Module]:
    return {name: block.get_submodule(own) for name, own in CONVOLUTIONS.items()}


def _norms(up: nn.Module) -> dict[str, nn.Module]:
    assert isinstance(up, Up)
    return {"b1": _told(up.norm1), "b2": _told(up.norm2)}


def _told(norm: ConditionalBatchNorm) -> nn.Module:
    """A normalisation whose statistics stand beside its scales and shifts, and not in a module of their own."""
    flat = Named({"weights": norm.scale, "biases": norm.shift})
    for name, buffer in norm.norm.named_buffers():
        flat.register_buffer(name, buffer)
    return flat


def of_dplg(critic: DPLG) -> nn.Module:
    """``block1`` and so on, the score with the number after the last block's, and ``l_y`` for the classes."""
    blocks = {f"block{k}": Named(_convolutions(down)) for k, down in enumerate(critic.blocks, 1)}
    return Named({**blocks, f"l{len(blocks) + 1}": critic.score, "l_y": critic.embed})

"""Lets torchvision be imported where its compiled operators cannot be loaded.

A torchvision wheel built for CUDA installs beside a CPU build of torch, but its C++ library does not load there, and
``import torchvision`` (so also ``import timm``) dies with ``operator torchvision::nms does not exist``: it attaches
shape rules to two operators that were never declared. Nothing here needs those operators, so declaring them is enough.

Call ``ensure()`` before the first import of timm or torchvision.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_NAMES = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a declaration lives as long as its Library object


def ensure() -> tuple[str, ...]:
    """Declares torchvision's operators if its own library cannot; does nothing where it can, or the second time.

    The library is loaded here exactly as torchvision does it a moment later (loading twice is harmless), so a
    declaration can never clash with the real one.

    Returns:
        Names of the operators declared by this call.
    """
    if not all(map(_present, _NAMES)):
        _load_own_library()
    missing = tuple(name for name in _NAMES if not _present(name))
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(name + _SCHEMA)
        _declared.append(library)
    return missing


def _present(name: str) -> bool:
    return hasattr(torch.ops.torchvision, name)


def _load_own_library() -> None:
    spec = importlib.util.find_spec("torchvision")  # finds the folder without importing the package
    folders = list(spec.submodule_search_locations or []) if spec else []
    for path in sorted(file for folder in folders for file in Path(folder).glob("_C*.*") if file.suffix != ".py"):
        try:
            torch.ops.load_library(str(path))
        except OSError:  # built for another torch: this is the case that ensure() is for
            continue

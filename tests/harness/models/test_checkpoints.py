"""Checkpoints as other programs write them: what is taken, what is said, and what is refused in which words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from unveil.harness.assets.checkpoints import read
from unveil.harness.assets.weights import load, load_in_order
from unveil.harness.words.errors import WeightsError

State = dict[str, Tensor]


class Net(nn.Module):
    """A stem, a body and a head; ``inner`` names the body."""

    def __init__(self, inner: str = "body", seed: int = 0, classes: int = 2) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, 4, 3)
            self.add_module(inner, nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)))
            self.fc = nn.Linear(4, classes)


STATE, OTHER = Net().state_dict(), Net(seed=1).state_dict()


def under(prefix: str, state: Mapping[str, Tensor] = STATE) -> State:
    return {prefix + name: value for name, value in state.items()}


def taken(path: Path, net: nn.Module | None = None) -> tuple[nn.Module, tuple[str, ...]]:
    net = net or Net(seed=7)
    return net, load(net, read(path), "fc")


def holds(net: nn.Module, state: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


INNER = {name.replace("body.", "body._orig_mod.").replace("stem.", "stem.module."): t for name, t in STATE.items()}
SEVERAL = {**under("module.encoder_q."), **under("module.encoder_k.", OTHER)}
OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
LIGHTNING = {**under("model."), "criterion.weight": torch.ones(3)}


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (STATE, ()),
        ({"state_dict": STATE, "epoch": 3, "best": 0.5, "optimizer": OPTIMISER}, ()),
        (under("_orig_mod."), ("_orig_mod.",)),
        ({"net": under("_module.module._orig_mod.")}, ("_module.module._orig_mod.",)),
        ({"model_state_dict": under("module.module."), "optimizer_state_dict": OPTIMISER}, ("module.module.",)),
        (INNER, ("module., _orig_mod.",)),
        ({"state_dict": LIGHTNING}, ("off the names in the checkpoint: model.", "left out of the checkpoint: crit")),
        ({**under("module."), "n_averaged": torch.tensor(5)}, ("module.", "left out of the checkpoint: n_averaged")),
        ({"weights": {"backbone": under("net.encoder.")}}, ("net.encoder.",)),
        ({"state_dict_ema": OTHER, "state_dict": STATE}, ("taken from state_dict, not from state_dict_ema",)),
        ({"model": STATE, "state_dict": STATE}, ()),
        ({"generator": STATE, "discriminator": {"conv.weight": torch.ones(2)}}, ()),
        ({**STATE, "fc.weight": STATE["fc.weight"][:, :, None, None]}, ()),
        ({**STATE, "epoch": 7}, ()),
        ({name: t.double() if t.is_floating_point() else t for name, t in STATE.items()}, ("float64",)),
    ],
)
def test_tensors_are_found_under_whatever_wraps_them(saved: Any, told: tuple[str, ...], tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "w.pt")
    net, notes = taken(tmp_path / "w.pt")
    assert holds(net, STATE)
    assert len(notes) == len(told)
    assert all(part in note for part, note in zip(told, notes, strict=True))


@pytest.mark.parametrize("inner", ["module", "model", "_orig_mod"])
def test_a_module_of_the_models_own_is_no_wrapper(inner: str, tmp_path: Path) -> None:
    state = Net(inner).state_dict()
    for prefix in ("", f"{inner}.", "_module."):
        torch.save(under(prefix, state), tmp_path / "w.pt")
        net, notes = taken(tmp_path / "w.pt", Net(inner, seed=7))
        assert holds(net, state)
        assert len(notes) == bool(prefix)


def test_order_instead_of_names_needs_the_one_group_of_that_length(tmp_path: Path) -> None:
    renamed = {f"layer{i}": t for i, (name, t) in enumerate(STATE.items()) if "num_batches" not in name}
    torch.save({"params_ema": {n: t + 1 for n, t in renamed.items()}, "params": renamed}, tmp_path / "w.pt")
    net = Net(seed=7)
    (note,) = load_in_order(net, read(tmp_path / "w.pt"), "fc")
    assert note == "taken from params, not from params_ema"
    assert torch.equal(net.fc.weight, STATE["fc.weight"])
    torch.save({"params": dict(list(renamed.items())[1:])}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"9 in params\nexpected: 10, one for each"):
        load_in_order(net, read(tmp_path / "w.pt"), "fc")


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        ({"state_dict": SEVERAL}, r"several networks.*_dict\.module\.encoder_q, state_dict\.module\.encoder_k"),
        ({**STATE, "surplus": torch.ones(1)}, "1 unexpected: surplus"),
        (under("net.", {**STATE, "surplus": torch.ones(1)}), "1 unexpected: surplus"),
        ({**STATE, "stem.bias": torch.tensor([0.0, float("nan"), 0, 0])}, r"NaN or infinity in stem\.bias \(1 of 4"),
        ({**STATE, "body.1.running_var": torch.full((4,), float("inf"))}, r"infinity in body\.1\.running_var"),
        (
            {**STATE, "body.1.running_var": torch.tensor([1.0, -1, 1, 1])},
            r"below zero in body\.1\.running_var",
        ),
        ({**STATE, "fc.weight": STATE["fc.weight"].to_sparse()}, r"fc\.weight is torch\.sparse_coo"),
        (OPTIMISER, "the state of an optimiser"),
        ({}, "holds an empty dict, and no tensors"),
        ({**STATE, "stem.weight": STATE["stem.weight"].to(torch.int8)}, "quantised weights: stem.weight is int8"),
        ({"fc.weight": STATE["fc.weight"]}, "missing: body.0.bias"),
        ({"epoch": 3, "accuracy": [0.5]}, "a dict with the keys epoch, accuracy, and no tensors"),
        (torch.ones(2), "holds a Tensor, and no tensors by name"),
        (Net(), r"wholly pickled model \(\S*Net.*any code.*\n.*\n.*weights_only=False\)\.state_dict\(\)"),
        ({"state_dict": STATE, "args": argparse.Namespace(lr=1)}, r"Python objects.*\(argparse\.Namespace\).*any code"),
    ],
)
@pytest.mark.parametrize("new", [True, False])
def test_what_cannot_be_taken_is_named(saved: Any, told: str, new: bool, tmp_path: Path) -> None:
    torch.save(saved, tmp_path / "w.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(WeightsError, match=told) as caught:
        taken(tmp_path / "w.pt")
    assert str(tmp_path / "w.pt") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", r"Git LFS pointer(.|\n)*git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b'{\n  "metadata": {"total_size": 3}}', "JSON"),
        (b"\x1f\x8b\x08\x00", "compressed archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"", "is empty"),
        (b"hello", "no known format"),
        (b"PK\x03\x04 and no more", "cut short or damaged"),
        (b"\x80\x02 and no more", "cut short or damaged"),
        (b"\x20\x00\x00\x00\x00\x00\x00\x00{ and no more", "cut short or damaged"),
    ],
)
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_file_is_what_its_content_says(content: bytes, told: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=told):
        read(tmp_path / name)


def test_endings_do_not_matter(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "w.pt")
    torch.save(STATE, tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        assert holds(taken(tmp_path / name)[0], STATE)


def test_archives_of_other_things_and_folders_are_named(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "w.pt")
    np.savez(tmp_path / "w.npz", a=np.ones(2))
    with pytest.raises(WeightsError, match=r"other files \(a\.npy\)"):
        read(tmp_path / "w.npz")
    with pytest.raises(WeightsError, match=r"is a folder\n.*\n.*name the file in it: w\.pt"):
        read(tmp_path)
    with pytest.raises(WeightsError, match="no such file"):
        read(tmp_path / "missing.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:-300])
    with pytest.raises(WeightsError, match="cut short or damaged"):
        read(tmp_path / "cut.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_is_not_run(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"TorchScript archive.*\n.*\n.*torch\.jit\.load"):
        read(tmp_path / "w.pt")

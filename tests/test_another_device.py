"""On a device that refuses whatever was left on the CPU, everything runs and comes out the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

PROGRAM = Path(__file__).parent / "another_device.py"
SLOW = pytest.mark.slow


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices that are written in Python",
)
@pytest.mark.parametrize("what", ["attacks", pytest.param("defenses", marks=SLOW), pytest.param("matrix", marks=SLOW)])
def test_another_device_finds_the_same(what, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", PROGRAM, what, tmp_path],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_pretended_device_refuses_what_a_gpu_refuses(tmp_path):
    program = f"""
import sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import elsewhere, torch
with elsewhere.pretended():
    here = torch.rand(4, 3)
    there = here.to(elsewhere.DEVICE)
    for name, wrong in {{
        "added": lambda: there + here,
        "joined": lambda: torch.cat([there, here]),
        "indexed the wrong way": lambda: here[torch.zeros(2, dtype=torch.long, device=elsewhere.DEVICE)],
        "written into": lambda: there.index_put_((torch.tensor([0]),), here[:1]),
        "drawn": lambda: torch.rand(3, device=elsewhere.DEVICE, generator=torch.Generator()),
        "drawn alike": lambda: torch.randperm(3, device=elsewhere.DEVICE, generator=torch.Generator()),
        "to numpy": lambda: there.numpy(),
    }}.items():
        try:
            wrong()
        except (RuntimeError, TypeError):
            continue
        elsewhere.leave(name)
    assert torch.equal((there[torch.tensor([2, 0])] + 1).cpu(), here[[2, 0]] + 1)
    assert torch.equal((there[[1]] * torch.tensor(2.0)).cpu(), here[[1]] * 2)
    layer = torch.nn.Conv2d(2, 2, 3).to(elsewhere.DEVICE).to(memory_format=torch.channels_last)
    assert layer.weight.held.is_contiguous(memory_format=torch.channels_last)
    layer.weight.data = there[None, None, :3].expand(2, 2, 3, 3)
    assert torch.equal(layer.weight.cpu()[0, 0], here[:3])
    x = there.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(x.square().sum(), x)
    assert slope.device == elsewhere.DEVICE and torch.equal(slope.cpu(), 2 * here)
    elsewhere.leave("")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr

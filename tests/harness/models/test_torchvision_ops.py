from __future__ import annotations

import subprocess
import sys

import torch

from unveil.harness.assets import torchvision_ops


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_timm_imports_afterwards_and_the_second_call_does_nothing() -> None:
    code = "from unveil.harness.assets.torchvision_ops import ensure; ensure(); import timm; print(ensure())"
    assert _python(code) == "()"


def test_nothing_is_declared_where_the_operators_exist() -> None:
    code = (
        "import torch\n"
        "real = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'): real.define(name + '(Tensor a, Tensor b, float c) -> Tensor')\n"
        "from unveil.harness.assets import torchvision_ops\n"
        "print(torchvision_ops.ensure(), torchvision_ops._declared)"
    )
    assert _python(code) == "() []"


def test_declared_operators_have_the_real_signature() -> None:
    torchvision_ops.ensure()
    schema = str(torch.ops.torchvision.nms.default._schema)
    assert schema == "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

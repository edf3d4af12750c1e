"""A checkout that lies on the path and is not installed, on a machine that has few packages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MISSING = ("mlflow", "opacus", "lpips", "typer", "kornia", "prdc", "pytorch_fid")

PROGRAM = """
import importlib.metadata as metadata
import sys

found = metadata.Distribution.from_name.__func__


def from_name(cls, name):
    if name == "unveil":
        raise metadata.PackageNotFoundError(name)
    return found(cls, name)


metadata.Distribution.from_name = classmethod(from_name)
points = metadata.entry_points
own = "unveil."
metadata.entry_points = lambda group="": points(**{{"group": group}} if group else {{}}) if own not in group else []
sys.modules |= dict.fromkeys({missing!r}, None)

import unveil
from unveil.harness.plan import plugins

assert unveil.__version__ == {version!r}, unveil.__version__
assert plugins.find("attacks", "gmi").origin == "unveil {version} (not installed)"
results = unveil.run("tiny.toml", "store")
assert [row.status for row in results.rows] == ["done"], results.rows
assert not {{name.partition(".")[0] for name in sys.modules if sys.modules[name]}} & set({missing!r})
"""


def test_a_plan_runs_from_a_checkout_with_few_packages(project):
    project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")
    project.edit("tiny.toml", 'use = "guess.py:Guess"\nname = "guess"', 'use = "pixel_adversarial"\nsteps = 2')
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM.format(missing=MISSING, version="0.1.0")],
        cwd=project.folder, capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

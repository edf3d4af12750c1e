"""A folder whose public side is another folder holds no other data set; one whose public side is a data set does."""

from pathlib import Path

from unveil.harness.plan import settings
from unveil.harness.words.spec import Spec


def test_what_runs_inside(tmp_path: Path) -> None:
    for side in ("private/ann", "public"):
        (tmp_path / side).mkdir(parents=True)
    plain = settings.make("datasets", Spec("folder", {"private": "private", "public": "public"}), tmp_path)
    assert settings.inside(plain) == []
    other = {"use": "ffhq", "root": "public"}
    held = settings.make("datasets", Spec("folder", {"private": "private", "public": other}), tmp_path)
    ((kind, spec),) = settings.inside(held)
    assert (kind, spec.use) == ("datasets", "ffhq")

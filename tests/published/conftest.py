"""The three published presets on made trees, expanded once."""

import pytest

from unveil.harness.plan.file import presets, read
from unveil.harness.running.matrix import expand

SMALL = {  # what made trees cannot have: a thousand people, and weights of hundreds of megabytes
    "published/celeba64": ("targets.ir152.weights=none", "evaluators.facenet112.weights=none"),
    "published/celeba224": ("data.people=3",),
}


@pytest.fixture(scope="session")
def around(published_trees, tmp_path_factory):
    """What is to be in the environment: where made trees are."""
    root, made = tmp_path_factory.mktemp("published"), published_trees
    return {**made.celeba(root), **made.facescrub(root), **made.style_file(root)}


@pytest.fixture(scope="session")
def cells(around):
    """The cells of each preset, by target, defense and attack."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in around.items():
            patch.setenv(name, value)
        return {
            name: {(c.model, c.defense, c.attack): c for c in expand(read(name, SMALL.get(name, ()))).cells}
            for name in presets()
            if name.startswith("published/")
        }

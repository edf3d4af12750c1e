"""What the published presets say of data, metrics, people and papers' numbers, and that each value names its source."""

import tomllib
from pathlib import Path

import pytest

from unveil.harness.plan import settings
from unveil.harness.plan.file import find, presets, read
from unveil.harness.words.errors import PlanError

PUBLISHED = [name for name in presets() if name.startswith("published/")]
CELEBA64, FACESCRUB224, CELEBA224 = "published/celeba64", "published/facescrub224", "published/celeba224"

DATA = {
    CELEBA64: {
        "train_list": "${UNVEIL_CELEBA_LISTS}/trainset.txt", "test_list": "${UNVEIL_CELEBA_LISTS}/testset.txt",
        "public_list": "${UNVEIL_CELEBA_LISTS}/ganset.txt", "crop": [35, 55, 108, 108], "max_public": 30_000,
    },
    FACESCRUB224: {
        "group": "all", "pictures": "faces", "crop": 1.0, "size": 299, "split": "published", "max_public": 1000,
        "public": {"use": "ffhq", "crop": 800 / 1024, "partial": True},
    },
    CELEBA224: {
        "people": 1000, "pictures": "img_celeba_hd", "crop": "whole", "size": 224, "split": "published",
        "max_public": 1000,
    },
}  # fmt: skip
METRICS = {
    CELEBA64: ["attack_accuracy", "knn_distance", "fid", "utility"],
    FACESCRUB224: ["attack_accuracy", "knn_distance", "delta_face", "fid", "prdc", "utility"],
}
METRICS[CELEBA224] = METRICS[FACESCRUB224]
NUMBERS = {  # what somebody has printed of a cell: accuracy, and whatever stands beside it
    CELEBA64: {
        ("ir152", "none", "gmi"): [
            {"accuracy": 0.41, "top5": 0.68, "utility": 0.9242},
            {"accuracy": 0.1382, "fid": 27.61},
        ],
        ("ir152", "none", "kedmi"): [{"accuracy": 0.8893, "top5": 0.9833, "utility": 0.9242}],
        ("ir152", "none", "lomma gmi"): [{"accuracy": 0.8507, "top5": 0.9867, "utility": 0.9242}],
        ("ir152", "none", "lomma kedmi"): [{"accuracy": 0.936, "top5": 0.9933, "utility": 0.9242}],
        ("vgg16", "none", "lomma gmi"): [{"accuracy": 0.9412, "top5": 0.9893, "knn": 1155.02}],
        ("vgg16", "none", "lomma kedmi"): [{"accuracy": 0.6046, "top5": 0.8735, "knn": 1275.10}],
        ("facenet64", "none", "lomma gmi"): [{"accuracy": 0.9366, "top5": 0.9825, "knn": 1084.60}],
        ("facenet64", "none", "lomma kedmi"): [{"accuracy": 0.6042, "top5": 0.8947, "knn": 1331.94}],
        ("facenet64", "none", "gmi"): [{"accuracy": 0.2537, "fid": 27.97}],
        ("facenet64", "none", "plgmi"): [{"accuracy": 0.3224, "fid": 50.26}],
        ("ir152", "none", "plgmi"): [{"accuracy": 0.4489, "fid": 49.62}],
    },
    FACESCRUB224: {
        ("resnet18", "none", "ppa"): [{"accuracy": 0.8157, "top5": 0.9485}],
        ("densenet121", "none", "ppa"): [
            {"accuracy": 0.7566, "top5": 0.9091},
            {"accuracy": 0.7809, "utility": 0.9467},
        ],
        ("resnet152", "none", "ppa"): [{"accuracy": 0.5789, "top5": 0.8125}],
        ("resnet152", "bido", "ppa"): [{"accuracy": 0.3511, "top5": 0.5914}],
        ("resnet152", "ls", "ppa"): [{"accuracy": 0.084, "top5": 0.235}],
        ("resnet152", "tl_dmi", "ppa"): [{"accuracy": 0.2514, "top5": 0.5172}],
        ("resnet101", "none", "ppa"): [{"accuracy": 0.83, "utility": 0.9486}],
        ("resnet101", "bido", "ppa"): [{"accuracy": 0.6707, "utility": 0.9031}],
    },
    CELEBA224: {
        ("resnet18", "none", "ppa"): [{"accuracy": 0.8563, "top5": 0.9512}],
        ("densenet121", "none", "ppa"): [{"accuracy": 0.8222, "top5": 0.9326}],
    },
}
SAID = ("target", "defense", "attack", "source", "differs")


def raw(name):
    """A preset's tables as they stand."""
    return tomllib.loads(find(name)[0])


def test_these_are_all():
    assert sorted(DATA) == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_data_and_metrics(name):
    plan = raw(name)
    use = "facescrub" if name == FACESCRUB224 else "celeba"
    assert plan["data"] == {"use": use, "validation": 0.0, **DATA[name]}
    assert [one["use"] for one in plan["metrics"]] == METRICS[name]
    extractors = {one["use"]: one["extractor"] for one in plan["metrics"] if "extractor" in one}
    assert set(extractors.values()) == {"inception"}
    assert [one for one in plan["metrics"] if one["use"] == "prdc"] == [
        {"use": "prdc", "extractor": "inception", "k": 3} for _ in range(name != CELEBA64)
    ]
    above = {key: value for key, value in plan.items() if not isinstance(value, list | dict)}
    people = {"identities": 300, "attacked": "first"} if name == CELEBA64 else {"identities": 0}
    assert above == {"title": plan["title"], "reproduced": False, "precision": "full", **people}
    assert plan["seeds"] == [0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_in_print_are_of_cells_that_there_are_and_say_whose_they_are(cells, name):
    told = raw(name)["published"]
    found = {}
    for one in told:
        cell = one["target"], one["defense"], one["attack"]
        found.setdefault(cell, []).append({key: value for key, value in one.items() if key not in SAID})
    assert found == NUMBERS[name]
    assert found.keys() <= cells[name].keys()
    assert all(one["source"] and one["differs"] for one in told)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_value_says_where_it_is_from(name):
    """Or stands below a line that says so for what follows."""
    tagged = ("code", "paper", "third", "ours", "Q-")
    lines = find(name)[0].split("# Numbers that somebody has printed")[0].splitlines()
    blocks = "\n".join(lines).split("\n\n")
    bare = [block.splitlines()[0] for block in blocks if not any(tag in block for tag in tagged)]
    known = {"[[defenses]]", "[[metrics]]", "[[targets]]"}  # "none", a metric, and targets like the one above
    assert not [one for one in bare if one not in known], bare


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("UNVEIL_CELEBA_LISTS", raising=False)
    with pytest.raises(
        PlanError, match=r"data\.train_list takes its value from .* UNVEIL_CELEBA_LISTS, which is not set"
    ):
        read(CELEBA64)


def test_ffhq_may_take_the_public_side(around, monkeypatch):
    """As the comment in the preset has it."""
    for key, value in {**around, "UNVEIL_MS1M_IR152": "none", "UNVEIL_MS1M_IR50": "none"}.items():
        monkeypatch.setenv(key, value)
    comment = next(line for line in find(CELEBA64)[0].splitlines() if "--set 'data.public=" in line)
    given = [part.strip(" #'") for part in comment.split("--set")[1:]]
    plan = read(CELEBA64, [*given, "data.public.partial=true"])
    data = settings.make("datasets", plan.plan.data[0].spec, Path())
    assert (data.public.use, data.public_list, data.max_public) == ("ffhq", None, 70_000)

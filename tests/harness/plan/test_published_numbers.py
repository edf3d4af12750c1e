"""Papers' numbers in a plan: of rows that there are, as shares, and of no consequence for what is computed."""

import pytest

from unveil.harness.plan.file import from_mapping
from unveil.harness.running.matrix import expand
from unveil.harness.words.errors import PlanError

PLAN = {
    "title": "T",
    "data": {"use": "people"},
    "targets": [{"use": "small_resnet"}, {"use": "plain_cnn"}],
    "defenses": [{"use": "none"}, {"use": ["tl_dmi", "mid"], "sweep": {"mid": {"beta": [0.003, 0.01]}}}],
    "attacks": [{"use": "pixel_adversarial"}],
    "metrics": [{"use": "utility"}],
}
GOOD = {
    "defense": "none",
    "attack": "pixel_adversarial",
    "target": "plain_cnn",
    "accuracy": 0.5,
    "source": "A, table 1",
}


def plan(*published):
    return from_mapping({**PLAN, "published": list(published)}).plan


def test_a_row_of_a_sweep_is_named_as_tables_do():
    found = plan(GOOD, {**GOOD, "defense": "tl_dmi+mid beta=0.01", "knn": 1247, "fid": 44.5})
    assert [one.defense for one in found.published] == ["none", "tl_dmi+mid beta=0.01"]
    assert found.published[1].knn == 1247


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"defense": "tl_dmi+mid"}, "the defense 'tl_dmi.mid', which no row is called; did you mean 'tl_dmi.mid beta"),
        ({"attack": "gmi"}, r"entry 1 of published \(A, table 1\) has the attack 'gmi'"),
        ({"target": "plain_cn"}, "the target 'plain_cn', which no row is called; did you mean 'plain_cnn'"),
        ({"target": ""}, "has the target none; it is one of small_resnet, plain_cnn"),
        ({"data": "celeba"}, "the data 'celeba'"),
        ({"accuracy": 90.4}, r"90\.4 is no share between 0 and 1: 90\.4 % is 0\.904"),
        ({"top5": float("nan")}, "not a number is no share"),
        ({"fid": -1.0}, "0 or more"),
        ({"source": ""}, "source"),
        ({"acuracy": 0.4}, "acuracy"),
    ],
)
def test_what_cannot_be_compared_is_an_error(change, words):
    with pytest.raises(PlanError, match=words):
        plan({**GOOD, **change})


def test_they_change_no_key_and_no_row():
    with_papers, without = (expand(from_mapping(one)) for one in ({**PLAN, "published": [GOOD]}, PLAN))
    assert [node.key for node in with_papers.nodes()] == [node.key for node in without.nodes()]
    assert with_papers.cells == without.cells

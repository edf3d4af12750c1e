"""Judges that say "nobody here", attacks that return nonsense, and the rule that a judge is never the target."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from unveil.harness.figures.panel import read
from unveil.harness.steps import classifiers, model
from unveil.harness.steps.attack import checked, victims
from unveil.harness.steps.classifiers import fill
from unveil.harness.steps.evaluator import gather
from unveil.harness.steps.measure import compute, never_the_target, unscored_if_lost, verdicts
from unveil.harness.steps.people import hold_out, known_people, strangers
from unveil.harness.steps.prior import require_sound, samples
from unveil.harness.steps.rejection import Reject, calibrate
from unveil.harness.types import Data, Direction, Generator, Images, Measurement, Quantity, Run
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import DataError, JudgeError, TrainingError, UnveilError, WeightsError


def images(labels):
    labels = torch.tensor(labels)
    return Images(torch.arange(len(labels)).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2) / 1000, labels)


def numbers(some):
    return set((some.pixels[:, 0, 0, 0] * 1000).round().int().tolist())


PUBLIC = [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6 + [4] * 2 + [-1] * 3


def data():
    train = images([0] * 8 + [1] * 8)
    return Data(train, images([0, 1]), images([0, 1]), images(PUBLIC), ("a", "b"), "sum", "by construction")


def test_known_people_have_enough_pictures():
    known = known_people(images(PUBLIC), 5)
    assert known.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6
    assert known_people(images([7, 7, 9, -1]), 2).labels.tolist() == [0, 0]


def test_hold_out_is_stratified_and_loses_nothing():
    rest, held = hold_out(images([0] * 10 + [1] * 2 + [2] * 20), 0.1, torch.Generator().manual_seed(0))
    assert torch.bincount(held.labels).tolist() == [1, 1, 2]
    assert numbers(rest) | numbers(held) == set(range(32))
    assert not numbers(rest) & numbers(held)


def test_strangers_are_whole_people():
    rest, apart = strangers(images(PUBLIC), 0.3, 1, torch.Generator().manual_seed(0))
    known = set(apart.labels.tolist()) - {-1}
    assert not known & set(rest.labels.tolist())
    assert len(rest) + len(apart) == len(PUBLIC)
    _, two = strangers(images([0, 0, 1, 1, 2, 2, 2]), 0.1, 2, torch.Generator().manual_seed(0))
    assert len(two.labels.unique()) == 2


@pytest.mark.parametrize(("others", "classes"), [("none", 2), ("nobody", 3)])
def test_a_judge_learns_private_people_first(others, classes):
    society = gather(data(), others, 5, Run("judge"))
    assert society.classes == classes
    assert len(society.strangers)
    assert len(society.calibration)
    assert not numbers(society.strangers) & numbers(society.calibration)
    assert set(society.train.labels.tolist()) == set(range(classes))
    assert set(society.validation.labels.tolist()) == set(range(classes))
    assert not numbers(society.strangers) & numbers(society.train) - set(range(18))


def test_each_public_person_can_be_a_class():
    society = gather(data(), "identities", 5, Run("judge"))
    assert 3 <= society.classes <= 6
    assert society.knows == f"2 private people and {society.classes - 2} public people"
    with pytest.raises(DataError, match="set others = 'nobody'"):
        gather(data(), "identities", 50, Run("judge"))


def test_nobody_here_is_a_threshold_on_confidence():
    logits = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * 3
    for share in (0.0, 0.05, 0.2):
        tau = calibrate(logits, 2, share)
        verdict = Reject(tau)(logits).argmax(1)
        best, who = logits.softmax(1).max(1)
        assert torch.equal(verdict, torch.where(best > tau, who, torch.tensor(6)))
        taken = (verdict < 2).sum()
        assert taken <= share * 200
        assert taken >= share * 200 - 1  # the lowest such threshold
    assert calibrate(logits, 2, 1.0) == 0.0


def small(seed):
    torch.manual_seed(seed)
    return Classifier({"body": nn.Sequential(nn.Flatten(), nn.Linear(4, 3))}, nn.Linear(3, 2), classes=2)


def test_a_judge_is_never_the_target():
    target = small(0)
    never_the_target(small(1), target, "judged")
    same = copy.deepcopy(target)
    with pytest.raises(JudgeError, match="the judge has the target's weights"):
        never_the_target(same, target, "judged")
    same.head = nn.Linear(3, 9)  # another head on the same body is still the target
    with pytest.raises(JudgeError):
        never_the_target(same, target, "judged")


def test_nor_is_a_model_that_a_metric_asked_for(monkeypatch):
    target = small(1)
    monkeypatch.setattr(classifiers, "read", lambda *_: target)
    monkeypatch.setattr(model, "read", lambda *_: copy.deepcopy(target))
    uses = {"metric": (SimpleNamespace(make=lambda: None),)}
    needs = {"eyes": SimpleNamespace(kind="model")}
    node = SimpleNamespace(uses=uses, parents={"target": None}, needs=needs, label="delta_face")
    with pytest.raises(JudgeError, match="delta_face: the judge has the target's weights"):
        compute(node, None, Run("x"))


def test_weights_that_do_not_fit_are_refused():
    state = small(0).state_dict()
    fill(small(1), state, "a file")
    with pytest.raises(WeightsError, match=r"a file does not fit[\s\S]*head.bias"):
        fill(small(1), {name: t for name, t in state.items() if name != "head.bias"}, "a file")
    with pytest.raises(WeightsError, match=r"head.weight"):
        fill(small(1), {**state, "head.weight": torch.zeros(5, 3)}, "a file")


@pytest.mark.parametrize(
    ("pixels", "labels", "told"),
    [
        (torch.full((2, 1, 2, 2), float("nan")), [0, 1], "not finite, in 2 of 2 pictures"),
        (torch.full((2, 1, 2, 2), 2.0), [0, 1], "pixels from 2 to 2"),
        (torch.zeros(2, 3, 2, 2), [0, 1], "pictures of shape"),
        (torch.zeros(2, 1, 2, 2), [0, 0], "pictures of 1 people instead of the 2"),
    ],
)
def test_nonsense_is_a_failure_and_no_score(pixels, labels, told):
    with pytest.raises(UnveilError, match=told):
        checked(Images(pixels, torch.tensor(labels)), torch.tensor([0, 1]), (1, 2, 2), "attack")


def test_a_metric_that_comes_out_as_nan_is_a_reason_and_no_number():
    column = "top-1", "share", Direction.LEAKS, 0.0, 1.0
    lost = unscored_if_lost(Measurement(*column, values=np.array([0.5, np.nan]), identities=np.array([0, 1])))
    assert (lost.values, lost.reason) == (None, "1 of 2 values came out as NaN or infinity")
    assert (
        unscored_if_lost(Measurement(*column, value=float("inf"))).reason == "1 of 1 values came out as NaN or infinity"
    )
    for fine in (Measurement(*column, value=0.5), Measurement(*column, reason="none")):
        assert unscored_if_lost(fine) is fine


class Drawn(Generator):
    latent = 2

    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def synthesize(self, z):
        return (z * self.scale**2).sum(1)[:, None, None, None].expand(-1, 1, 2, 2)


def test_a_prior_that_diverged_is_none_whoever_trained_it():
    require_sound(Drawn(1.0), {"loss": [0.1]}, "prior mine")
    with pytest.raises(TrainingError, match=r"prior mine diverged in training: .*scale \(1 of 1"):
        require_sound(Drawn(float("nan")), {}, "prior mine")
    with pytest.raises(TrainingError, match="its curve 'loss'"):
        require_sound(Drawn(1.0), {"loss": [0.1, float("inf")]}, "prior mine")
    with pytest.raises(TrainingError, match="draws pixels that are not finite"):
        samples(Drawn(1e30), 1, torch.device("cpu"))


def test_reconstructions_are_pictures():
    fine = checked(
        Images(torch.full((2, 1, 2, 2), 0.50001), torch.tensor([1, 0])), torch.tensor([0, 1]), (1, 2, 2), "a"
    )
    assert torch.equal(fine.pixels, torch.full((2, 1, 2, 2), 128 / 255))


def test_victims_are_the_same_for_everybody():
    assert victims(5, 0, Run("data")).tolist() == [0, 1, 2, 3, 4]
    drawn = victims(50, 10, Run("data"))
    assert len(drawn.unique()) == 10
    assert torch.equal(drawn, victims(50, 10, Run("data")))
    assert victims(50, 3, Run("data"), "first").tolist() == [0, 1, 2]


def asked(judge="", others="identities"):
    evaluator = SimpleNamespace(options={"others": others})
    return SimpleNamespace(options={"name": "accuracy", "judge": judge}, parents={"evaluator": evaluator})


def column(name, accepted):
    bits = np.array(accepted, bool)
    return Measurement(name, "share", Direction.LEAKS, 0, 1, values=bits * 1.0, identities=bits * 0, accepted=bits)


def test_verdicts_are_named_for_whoever_gives_them():
    shown = images([0, 1, 1])
    found = [column("top-1", [1, 0, 0]), column(Quantity(quantity="top-1", closed=True), [1, 1, 0])]
    own, closed = verdicts(asked("judge"), found, shown)
    assert own == {
        "opinion": {"judge": "judge", "answer": "", "closed": False},
        "accepted": "100", "people": [0, 1, 1], "closed": False, "evaluator": True,
    }  # fmt: skip
    assert closed["opinion"] == {"judge": "judge", "answer": "closed-set top-1", "closed": True}
    assert (str(read(closed).opinion), closed["evaluator"]) == ("closed-set top-1 (judge)", False)
    (alone,) = verdicts(asked("judge", "none"), found[:1], shown)
    assert alone["closed"]  # who knows nobody else has to name a private person
    two = verdicts(asked(), [column("FAR 1 %", [1, 0, 0]), column("FAR 0.1 %", [0, 0, 0])], shown)
    assert [str(read(one).opinion) for one in two] == ["FAR 1 % (accuracy)", "FAR 0.1 % (accuracy)"]
    assert [str(read(one).opinion) for one in verdicts(asked(), found[:1], shown)] == ["accuracy"]
    assert not verdicts(asked(), [], shown)


def test_a_verdict_on_other_pictures_is_refused():
    with pytest.raises(UnveilError, match="accuracy/top-1 says of 2 pictures"):
        verdicts(asked("judge"), [column("top-1", [1, 0])], images([0, 1, 1]))

"""A student of real pictures knows the people, a student of noise does not; schedule and crops against references."""

from functools import partial

import numpy as np
import pytest
import torch

from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.figures.intervals import to_figure
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Direction, Evidence, Given, Images
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.metrics.knowledge_extraction import Crops, Falling, KnowledgeExtraction

PEOPLE = 12
SMALL = Spec("small_resnet", {"width": 8, "blocks": [1, 1]})


def tiles(people, pictures, prefix):
    """People of 4x4 coloured tiles, with a little noise on each picture."""
    generator = torch.Generator().manual_seed(len(prefix))
    looks = torch.rand(people, 3, 4, 4, generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    labels = torch.arange(people).repeat_interleave(pictures)
    noisy = looks[labels] + 0.05 * torch.randn(len(labels), 3, 16, 16, generator=generator)
    return Pictures(to_uint8(noisy.clamp(0, 1)), labels, tuple(f"{prefix} {i}" for i in range(people)))


@pytest.fixture(scope="module")
def data():
    private, public = tiles(PEOPLE, 8, "private"), tiles(2, 4, "public")
    return assemble(private, public, Shares(0.1, 0.25, 0), publishable=True)


def metric(**settings):
    return KnowledgeExtraction(**{"student": SMALL, "epochs": 15, "batch": 8, "lr": 0.05, **settings})


def beginner(classes=PEOPLE):
    return SmallResNet(width=8, blocks=(1, 1)).build(classes, (3, 16, 16), Run("student")).requires_grad_(False)


def evidence(data, fakes, run=None):
    return Evidence(data, None, None, fakes, run or Run("test"), given=Given(models={"student": beginner()}))


def scores(measurements):
    return [to_figure("knowledge_extraction", None, m).value for m in measurements]


def noise(images):
    pixels = torch.rand(images.pixels.shape, generator=torch.Generator().manual_seed(0))
    return Images(pixels, images.labels)


def test_private_pictures_teach_all_and_noise_nothing(data):
    found = metric().measure(evidence(data, data.train))
    assert min(scores(found)) > 0.95
    train, test = found
    assert train.identities.tolist() == data.train.labels.tolist()
    assert (test.samples, test.direction) == (len(data.test), Direction.LEAKS)
    assert set(np.unique(train.values)) <= {0.0, 1.0}
    for score in scores(metric(epochs=5).measure(evidence(data, noise(data.train)))):
        assert score < 3 / PEOPLE


def test_classes_are_those_that_were_attacked(data):
    """Persons 3 and 7, whose pictures were swapped: the student is always wrong, and is asked about nobody else."""
    own = data.train[(data.train.labels == 3) | (data.train.labels == 7)]
    swapped = Images(own.pixels, 10 - own.labels)
    train, _ = metric().measure(evidence(data, swapped))
    assert set(train.identities.tolist()) == {3, 7}
    assert (len(train.values), train.values.max()) == (len(own), 0.0)


def test_same_run_same_answer_whatever_the_order(data):
    fakes = data.train[data.train.labels < 4]
    mixed = fakes[torch.randperm(len(fakes), generator=torch.Generator().manual_seed(1))]
    quick = metric(epochs=2)
    states = [
        quick._taught(beginner(), quick_sorted, torch.arange(4), Run(name)).state_dict()
        for name, quick_sorted in (("a", fakes), ("a", fakes), ("b", fakes))
    ]
    assert all(torch.equal(x, states[1][name]) for name, x in states[0].items())
    assert not all(torch.equal(x, states[2][name]) for name, x in states[0].items())
    one, other = (quick.measure(evidence(data, images)) for images in (fakes, mixed))
    assert [m.values.tolist() for m in one] == [m.values.tolist() for m in other]


def test_it_continues_bit_for_bit_where_it_was_interrupted(data, tmp_path, monkeypatch):
    fakes, quick, people = data.train[data.train.labels < 4], metric(epochs=4), torch.arange(4)
    whole = quick._taught(beginner(), fakes, people, Run("x"))
    save, saved = Run.save, []

    def killed(run, name, state):
        save(run, name, state)
        saved.append(name)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            quick._taught(beginner(), fakes, people, Run("x", scratch=tmp_path))
    resumed = quick._taught(beginner(), fakes, people, Run("x", scratch=tmp_path))
    assert len(saved) == 2
    assert all(torch.equal(x, resumed.state_dict()[name]) for name, x in whole.state_dict().items())


def test_the_rate_falls_as_published():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], 0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 75, eta_min=1e-4)
    recipe = Falling(epochs=75, lr=0.1, lr_last=1e-4)
    for epoch in range(75):
        assert recipe.rate(epoch, 4) == pytest.approx(schedule.get_last_lr()[0])
        assert recipe.rate(epoch + 0.75, 4) == recipe.rate(epoch, 4)
        optimiser.step()
        schedule.step()


def test_crops_are_parts_of_the_picture():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 41), torch.linspace(-1, 1, 41), indexing="ij")
    ramps = Images((torch.stack([x, y, x]) * 0.5 + 0.5).expand(200, -1, -1, -1), torch.zeros(200))
    made = 2 * Crops(0.5, True).augment(ramps, Run("x")).pixels - 1
    middle = made[:, :, 10:31, 10:31]  # where no border is repeated
    across, down = (middle[:, 0, 0, -1] - middle[:, 0, 0, 0]), (middle[:, 1, -1, 0] - middle[:, 1, 0, 0])
    side = down / 1.0  # the middle half of a ramp of height 2
    torch.testing.assert_close(across.abs(), side, atol=1e-4, rtol=1e-4)
    area = side.square()
    assert 0.5 - 1e-3 <= area.min() < 0.52
    assert 0.98 < area.max() <= 1 + 1e-3
    assert 0.35 < (across < 0).float().mean() < 0.65
    centre = made[:, 1, 20, 20]
    assert (centre.abs() <= (1 - side) * 41 / 40 + 1e-4).all()  # from edge to edge, not from centre to centre
    assert centre.min() < -0.1 < 0.1 < centre.max()
    torch.testing.assert_close(Crops(1.0, False).augment(ramps, Run("x")).pixels, ramps.pixels, atol=1e-4, rtol=0)


def test_it_says_what_it_lacks(data):
    some = data.train[data.train.labels < 2]
    for settings, fakes, why in (
        ({"minimum": 7}, some, "reconstructions of class 0, fewer than the minimum of 7"),
        ({}, data.train[data.train.labels == 1], "one person was attacked"),
        ({}, Images(some.pixels, some.labels + PEOPLE), f"no private training picture of class {PEOPLE}"),
    ):
        found = metric(**settings).measure(evidence(data, fakes))
        assert len(found) == 2
        assert all(why in m.reason and m.values is None for m in found)


def test_the_student_that_was_given_stays_as_it_is_and_answers_for_those_who_were_attacked(data):
    fakes, given = data.train[data.train.labels < 4], beginner()
    before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
    taught = metric(epochs=1)._taught(given, fakes, torch.arange(4), Run("x"))
    assert taught.logits(fakes.pixels).shape == (len(fakes), 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.state_dict().items())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in taught.state_dict().items())


def test_the_student_is_a_need():
    assert KnowledgeExtraction().needs()["student"].model.settings["architecture"] == "resnet50.tv_in1k"
    of = partial(plugin_settings.question, Spec("knowledge_extraction"))
    asked = of(metric())["settings"]
    assert (
        asked == plugin_settings.question(Spec("knowledge_extraction"), metric(student=Spec("plain_cnn")))["settings"]
    )
    published = of(KnowledgeExtraction())["settings"]
    assert [published[name] for name in ("epochs", "batch", "lr", "lr_last")] == [75, 32, 0.1, 1e-4]

"""GANs that start from the generator of another prior, or learn from its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.gan import GAN
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.made_from import Taken
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.harness.models.mobile_head_file import write
from unveil.harness.models.mobile_networks import Head
from unveil.harness.plan import settings
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Generator, Given, Images, View
from unveil.harness.words import pixels
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

SHAPE = (1, 16, 16)
SMALL = {"width": 4, "steps": 4, "batch": 4}
OTHER = {"use": "wgan_gp", **SMALL}
Asked = Callable[[], View]


@pytest.fixture
def other(public: Images) -> Generator:
    prior = settings.make("priors", Spec("wgan_gp", SMALL), Path())
    made: Generator = prior.build(3, SHAPE)
    prior.fit(made, public, None, Run("other"))
    return made


def made(use: str, **own: object) -> WGANGP | InversionGAN | ConditionalGAN:
    found: WGANGP | InversionGAN | ConditionalGAN = settings.make("priors", Spec(use, {**SMALL, **own}), Path())
    return found


def fitted(prior: WGANGP | InversionGAN | ConditionalGAN, public: Images, view: View, given: Given) -> Generator:
    generator = prior.build(3, SHAPE)
    prior.fit(generator, public, view if prior.access else None, Run("made"), given)
    return generator


@pytest.mark.parametrize("use", ["wgan_gp", "inversion_gan"])
@pytest.mark.parametrize("train", [False, True])
def test_it_starts_from_the_generator_that_it_is_given(
    use: str, train: bool, public: Images, asked: Asked, other: Generator
) -> None:
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    every = {"critic_steps": 2} if use == "wgan_gp" else {"generator_every": 2}
    prior = made(use, start=OTHER, train_generator=train, **every)
    assert prior.needs().keys() == {"start"}
    found = fitted(prior, public, asked(), Given({"start": other}))
    z = found.sample(Run("z").generators("z", [(0,), (1,)]))
    assert torch.equal(z, other.sample(Run("z").generators("z", [(0,), (1,)])))
    assert torch.equal(found.synthesize(z), other.synthesize(z)) is not train
    assert torch.isfinite(found.realism(public.pixels)).all()
    for name, tensor in other.state_dict().items():  # it is lent
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("held", [0, pixels.HELD])
@pytest.mark.parametrize("use", ["wgan_gp", "inversion_gan", "conditional_gan"])
def test_pictures_of_another_prior_stand_in_for_public_ones(
    use: str, held: int, public: Images, asked: Asked, other: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, and where they are so many that they lie in a file, too."""
    monkeypatch.setattr(pixels, "HELD", held)
    prior = made(use, learn_from=OTHER, samples=6)
    found = fitted(prior, public, asked(), Given({"learn_from": other}))
    z = other.sample(Run("made").generators("sample", [(i,) for i in range(6)]))
    with torch.no_grad():
        drawn = Images(other.synthesize(z), torch.full((6,), -1))
    wanted = fitted(made(use), drawn, asked(), Given())
    unlike = fitted(made(use), public, asked(), Given())
    assert all(torch.equal(tensor, wanted.state_dict()[name]) for name, tensor in found.state_dict().items())
    assert any(not torch.equal(tensor, unlike.state_dict()[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize("use", ["wgan_gp", "inversion_gan"])
def test_a_generator_that_stays_as_it_is_draws_once(
    use: str, public: Images, asked: Asked, other: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    draw = Taken.forward

    def counted(self: Taken, z: Tensor) -> Tensor:
        counts.append(len(z))
        return draw(self, z)

    monkeypatch.setattr(Taken, "forward", counted)
    fitted(made(use, start=OTHER, train_generator=False, samples=70), public, asked(), Given({"start": other}))
    assert counts == [64, 6]
    counts.clear()
    fitted(made(use, start=OTHER, samples=70), public, asked(), Given({"start": other}))
    assert counts == [4] * 4  # fresh ones in each step; the generator learns every fifth


def test_a_target_labels_the_samples(public: Images, asked: Asked, other: Generator) -> None:
    view = asked()
    fitted(made("conditional_gan", learn_from=OTHER, samples=7, steps=1), public, view, Given({"learn_from": other}))
    assert view.spent.queries - view.spent.gradients == 7  # the generator's step asks for gradients, too


def test_a_name_that_is_no_word_of_the_setting_is_a_prior() -> None:
    assert made("wgan_gp", start="mobile_style").start == Spec("mobile_style")
    assert made("wgan_gp", start="digiface").start == "digiface"
    told = made("inversion_gan", start={"use": "mobile_style", "framing": "ffhq"}).start
    assert told == Spec("mobile_style", {"framing": "ffhq"})
    with pytest.raises(PluginError, match="did you mean 'mobile_style'"):
        made("wgan_gp", start="mobil_style")
    with pytest.raises(PluginError, match="mobile_style has no setting 'frame'"):
        made("wgan_gp", start={"use": "mobile_style", "frame": "ffhq"})


def test_files_of_the_other_prior_lie_beside_the_plan(tmp_path: Path) -> None:
    with seeded(Run("head")):
        write(tmp_path / "head.safetensors", Head(512, (4,)), "arcface", 32, {})
    start = {"use": "mobile_style", "head": "head.safetensors"}
    found = settings.make("priors", Spec("wgan_gp", {**SMALL, "start": start}), tmp_path)
    assert found.start.settings == {"head": str(tmp_path / "head.safetensors")}
    network = found.build(3, (3, 32, 32)).network
    assert isinstance(network, Taken)
    assert network.generator.end["c1"].out_channels == 16  # type: ignore[operator,index,union-attr]


def test_which_other_prior_it_is_the_other_node_says() -> None:
    question = settings.question(Spec("wgan_gp"), made("wgan_gp", start=OTHER, learn_from=OTHER))
    assert question["settings"]["start"] == question["settings"]["learn_from"] == "a need of its own"
    plain = settings.question(Spec("wgan_gp"), made("wgan_gp"))["settings"]
    assert not {"learn_from", "samples"} & plain.keys()  # as identities were before


class Nothing(Generator):
    """A generator of no parameters."""

    latent = 2

    def synthesize(self, z: Tensor) -> Tensor:
        return z[:, :1, None, None].expand(-1, *SHAPE)


def test_what_cannot_train_is_said(public: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = made("wgan_gp", start=OTHER)
    built = prior.build(3, SHAPE)
    assert isinstance(built, GAN)
    built.network.generator = Nothing()
    with pytest.raises(UnveilError, match="has no parameters"):
        prior.fit(built, public, None, Run("made"), Given({"start": Nothing()}))
    assert isinstance(built.network, nn.Module)

"""What a prior has learnt from: told in its artefact and beside its rows, and refused if it is private."""

import dataclasses
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unveil.attacks.priors.pretrained_style import StyleGAN2ADA
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.harness.conformance import tiny
from unveil.harness.data.grid import grid
from unveil.harness.plan.file import PlanFile, parse, read
from unveil.harness.running import assemble, tracking
from unveil.harness.running.assemble import results
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.steps import lineage
from unveil.harness.steps import prior as stage
from unveil.harness.store.artefacts import Store
from unveil.harness.types import ConditionalGenerator, Generator, Images, Origin
from unveil.harness.words.errors import DataError, PluginError, WeightsError
from unveil.harness.words.run import Run

PRIOR = '''
"""A prior of one number a latent, as a third party may write it."""
from dataclasses import dataclass
from typing import ClassVar
import torch
from unveil.harness.types import Access, Generator, Origin


class Grey(Generator):
    latent = 3

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def synthesize(self, z):
        return (self.mean + 0.1 * z).clamp(0, 1)[:, :, None, None].expand(-1, -1, 16, 16)

    def realism(self, x):
        return -(x - self.mean).square().mean((1, 2, 3))


@dataclass(frozen=True)
class Greys:
    """One colour each."""

    access: ClassVar[Access | None] = None
    seen: str = ""
    publishable: bool = True

    def content(self):
        return {"file": "weights"} if self.seen else {}

    def origin(self):
        return Origin(self.seen, self.publishable) if self.seen else None

    def build(self, classes, shape):
        return Grey()

    def fit(self, generator, public, view, run):
        generator.mean.copy_(public.pixels.mean())
        return {"loss": [1.0, 0.5]}
'''
ATTACKED = '[[attacks]]\nuse = "random_latents"\nprior = { use = "greys.py:Greys" }'


@dataclass(frozen=True)
class From:
    """A prior that says so much and no more."""

    trained_on: str
    files: tuple[str, ...] = ("file",)

    def content(self):
        return dict.fromkeys(self.files, "0")

    def origin(self):
        return Origin(self.trained_on)


def checksum(images: Images) -> str:
    return lineage.checksum(lineage.digests(images))


def test_a_set_of_pictures_has_one_checksum_in_whatever_order():
    public = tiny.data().public
    turned = public[torch.arange(len(public)).flip(0)]
    assert checksum(public) == checksum(turned)
    each = sorted(hashlib.sha256((np.asarray(x) * 255).round().astype(np.uint8).tobytes()).digest()
                  for x in public.pixels)  # fmt: skip
    assert checksum(public) == hashlib.sha256(b"".join(each)).hexdigest()
    assert checksum(public) != checksum(public[1:])


def test_weights_have_a_checksum_that_sees_every_bit():
    state = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    first = lineage.weights(state)
    assert lineage.weights({"b": torch.ones(1), "a": torch.zeros(2, 3)}) == first
    others = [{**state, "a": torch.zeros(3, 2)}, {**state, "b": torch.tensor([1 + 1e-7])}, {"a": state["a"]}]
    assert len({first, *map(lineage.weights, others)}) == 4


def test_what_learns_everything_here_has_learnt_from_the_public_pictures():
    data = tiny.data()
    known = lineage.traced(WGANGP(), data)
    assert known == {
        "public pictures": len(data.public),
        "public checksum": checksum(data.public),
        "trained elsewhere on": "",
    }
    assert "DigiFace" in lineage.declared(WGANGP(start="digiface")).trained_on
    declared = StyleGAN2ADA.origin(From("FFHQ; nobody private by name"))
    assert declared == Origin("FFHQ; nobody private by name", publishable=False)


@pytest.mark.parametrize("role", ["train", "validation", "test"])
def test_private_pictures_among_the_public_ones_are_refused(role):
    data = tiny.data()
    one = getattr(data, role)[1:2]
    mixed = Images(torch.cat([data.public.pixels, one.pixels]), torch.cat([data.public.labels, one.labels]))
    with pytest.raises(DataError, match="1 of the public pictures"):
        lineage.traced(WGANGP(), dataclasses.replace(data, public=mixed))


def together(data):
    parts = [getattr(data, role).pixels for role in ("train", "validation", "test")]
    return Images(torch.cat(parts), torch.zeros(sum(map(len, parts)), dtype=torch.int64))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (lambda data: checksum(data.train), "the private train pictures"),
        (lambda data: checksum(data.test), "the private test pictures"),
        (lambda data: checksum(together(data)), "all private pictures"),
        (lambda data: data.checksum.upper(), "the whole data set"),
    ],
)
def test_weights_that_are_said_to_have_seen_private_pictures_are_refused(named, words):
    data = tiny.data()
    with pytest.raises(WeightsError, match=words):
        lineage.traced(From(f"a crawl, and sha256:{named(data)}."), data)


def test_weights_that_saw_public_pictures_are_welcome():
    data = tiny.data()
    words = f"the public pictures, sha256 {checksum(data.public)}"
    assert lineage.traced(From(words), data)["trained elsewhere on"] == words


@pytest.mark.parametrize("prior", [From(""), From("  ")])
def test_files_without_a_word_on_what_they_have_seen_are_refused(prior):
    with pytest.raises(PluginError, match="reads file from outside, and does not say"):
        lineage.declared(prior)
    assert lineage.declared(From("", files=())) == Origin("")


class Told(ConditionalGenerator):
    latent = 2

    def synthesize_as(self, z, y):
        assert len(z) == 1
        return (0.1 * y)[:, None, None, None].expand(-1, 3, 8, 8) + 0 * z.sum()

    def synthesize(self, z):
        raise AssertionError("it takes a class")


class Large(Generator):
    latent = 2

    def synthesize(self, z):
        return torch.full((len(z), 1, 512, 512), 0.25) + 10 * z[:, :1, None, None]


def test_samples_are_those_of_fixed_latents_one_class_a_line():
    told = np.asarray(Image.open(io.BytesIO(stage.samples(Told(), 4, torch.device("cpu")))))
    assert told.shape == (4 * 8, 6 * 8, 3)
    assert [int(told[8 * i, 0, 0]) for i in range(4)] == [0, 26, 51, 76]
    large = np.asarray(Image.open(io.BytesIO(stage.samples(Large(), 4, torch.device("cpu")))))
    assert large.shape == (3 * 512, 3 * 512, 3)
    z = Large().sample(Run("samples of a prior").generators("z", [(2, 0)]))
    assert large[1024, 0, 0] == round(float((0.25 + 10 * z[0, 0]).clamp(0, 1)) * 255)


def test_a_grid_is_its_pictures_side_by_side():
    x = torch.rand(4, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    shown = np.asarray(Image.open(io.BytesIO(grid([x[:2], x[2:]]))))
    assert shown.shape == (6, 10, 3)
    np.testing.assert_array_equal(shown[3:, 5:, 2], (x[3, 0] * 255).round())


def told_of(data, prior):
    """What a row says of the prior that drew the private people, for data and prior as a plan names them."""
    text = f"""
        data = {{ use = "{data}" }}
        target = {{ use = "small_resnet" }}
        evaluator = {{ use = "plain_cnn" }}
        metric = {{ use = "utility" }}
        title = "lineage"
        defense = {{ use = "none" }}
        attack = {{ use = "random_latents", prior = {prior} }}
    """
    (cell,) = expand(PlanFile(parse(text, "p"), text, Path(), "p")).cells
    return assemble._drew_them(cell.nodes["prior"])


def test_a_prior_that_drew_the_private_people_is_told_of():
    pretrained = '{ use = "wgan_gp", start = "digiface" }'
    assert told_of("people", pretrained) == {"prior drew the private people": "digiface: a best case for the attack"}
    assert told_of("orl", pretrained) == told_of("people", '{ use = "wgan_gp" }') == {}


@pytest.fixture
def searched(project):
    """A project whose attack samples a third party's prior."""
    (project.folder / "greys.py").write_text(PRIOR)
    project.edit("tiny.toml", '[[attacks]]\nuse = "guess.py:Guess"\nname = "guess"', ATTACKED)
    project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")
    return project


def ran(project):
    """The row, with everything behind it, as the command line would compute it."""
    file = read(str(project.folder / "tiny.toml"))
    matrix, store = expand(file), Store(str(project.folder / "store"))
    outcomes = run_nodes(matrix.nodes(), Surroundings(store.url), InlinePool(), lambda node, outcome: None)
    found = results(file, matrix, outcomes, store)
    return found.rows[0], store, found


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_lineage_and_samples_reach_the_row_the_provenance_and_mlflow(searched):
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    row, store, found = ran(searched)
    assert row.status == "done", row.error
    key = row.keys["prior"]
    told = found.provenance[key]["lineage"]
    assert told["weights checksum"] == lineage.weights(store.load(key).tensors)
    assert row.facts["prior learnt from"] == f"30 public pictures ({told['public checksum'][:12]})"
    assert "prior's first weights learnt from" not in row.facts
    uri = tracking.default_uri(store)
    tracking.log(found, "", store, uri)
    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "unveil"]
    runs = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    files = {name: {f.path for f in client.list_artifacts(run)} for name, run in runs.items()}
    assert {name for name, paths in files.items() if "samples.png" in paths} == {"prior greys.py:Greys"}
    assert {name for name, paths in files.items() if "prior.png" in paths} == {"none x random_latents, seed 0"}


HIDDEN = [
    ("blobs.py", "publishable=True", "publishable=False"),
    ("greys.py", 'seen: str = ""\n    publishable: bool = True', 'seen: str = "faces"\n    publishable: bool = False'),
]


@pytest.mark.parametrize(("file", "old", "new"), HIDDEN, ids=["the data's", "the first weights'"])
def test_samples_of_real_people_stay_in_the_store(searched, file, old, new):
    searched.edit(file, old, new)
    row, store, _ = ran(searched)
    key = row.keys["prior"]
    assert store.file(key, "samples.png") is not None
    assert store.file(key, "nothing.png") is None
    assert store.record(key)["publishable"] is False
    assert tracking._publishable(key, store) is None
    assert ("prior's first weights learnt from" in row.facts) == (file == "greys.py")


@pytest.mark.parametrize("role", ["start", "learn_from"])
def test_what_a_prior_was_made_from_is_told_with_it(searched, role):
    searched.edit("greys.py", *HIDDEN[1][1:])
    wgan = (
        f'{{ use = "wgan_gp", {role} = "greys.py:Greys", width = 2, steps = 2, samples = 5, train_generator = false }}'
    )
    searched.edit("tiny.toml", '{ use = "greys.py:Greys" }', wgan)
    row, store, _ = ran(searched)
    assert row.status == "done", row.error
    assert row.facts["prior's first weights learnt from"] == "faces"
    assert store.record(row.keys["prior"])["publishable"] is False


def test_a_prior_that_saw_private_pictures_is_a_failed_row(searched):
    row, store, _ = ran(searched)
    checksum = store.record(row.keys["data"])["checksum"]
    searched.edit("tiny.toml", '"greys.py:Greys"', f'"greys.py:Greys", seen = "sha256 {checksum}"')
    row, _, _ = ran(searched)
    assert row.status == "failed"
    assert "were trained on the whole data set, private pictures included" in row.error

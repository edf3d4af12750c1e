"""Everything that the engine does, on a GPU: it must run there, come back bit for bit, and find what the CPU finds."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import torch

from unveil.harness.conformance import tiny
from unveil.harness.plan import plugins, settings
from unveil.harness.plan.file import read
from unveil.harness.running.matrix import expand
from unveil.harness.steps import classifiers
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.isolation import Held, held_apart
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.training.fit import fit, predict
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Budget, Images, View
from unveil.harness.words.names import Access
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

LABELS = torch.tensor([0, 2])
PIXELS = 0.02  # mean difference of attacked pixels between two devices: some steps hang on a comparison
LOGITS = 0.2  # difference of a trained target's logits, as a share of the largest
ATTACKS = (
    "gmi", "kedmi", *(f"lomma {base} {variant}" for base in ("gmi", "kedmi") for variant in ("logit", "both")), "plgmi",
    "ppa", "if_gmi", "align_mi", "mirror_white_box", "mirror", "vmi", "smile", "rlb_mi", "c2f_mi", "lokt", "brep_mi",
    "ppdg_mi", "query_averaging",
    "random_latents", "public_lookalikes", "pixel_adversarial",
)  # fmt: skip
PRIORS = {
    "wgan_gp": {"width": 4}, "inversion_gan": {"width": 4}, "conditional_gan": {"width": 4},
    "style_gan": {"width": 4, "latent": 8, "mapping_layers": 2, "augment": 0.5},
    "t_acgan": {"width": 4, "unlabelled": 1},
}  # fmt: skip
ASSETS = {"stylegan2_ada", "mobile_style"}  # priors from files and assets
MODELS = {
    "plain_cnn": {}, "small_resnet": {}, "timm": {"architecture": "resnet10t"}, "facenet": {}, "faceres": {},
    "fr_feature": {}, "mobilefacenet": {}, "vgg16": {"weights": "none"}, "ir152": {}, "ir50_64": {}, "ir50_112": {},
}  # fmt: skip
FILES = {
    "program",
    "in_memory",
    "dlib_resnet",
}  # models from files, from somebody's memory, and by a library on the CPU
OPACUS = pytest.mark.skipif(not importlib.util.find_spec("opacus"), reason="no opacus here")
DEFENSES = [pytest.param(name, marks=[OPACUS] * (name == "dp_sgd")) for name in sorted(plugins.registered("defenses"))]
SETTINGS = {"tl_dmi": {"freeze": "stage2"}, "dp_sgd": {"epsilon": 100.0}}


class KilledError(Exception):
    """Stands for a kill."""


class KillsAt:
    """A progress bar that ends the run at one of its moves."""

    def __init__(self, move):
        self.left = move

    def start(self, label, total):
        return self

    def stop(self, bar):
        """Nothing to close."""

    def advance(self, steps=1, **values):
        self.left -= 1
        if self.left == 0:
            raise KilledError


def target_on(world, device, access):
    return View(world.target().to(device), access, world.shape)


@pytest.mark.parametrize("mixed", [False, True], ids=["full", "mixed"])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_what_it_finds_on_the_cpu(name, mixed, device, worlds):
    case = worlds.CASES[name]
    run = Run("test", device=device, mixed_precision=mixed)
    there = case.attacked(LABELS, run, target_on(case.world, device, case.attack.access))
    assert there.pixels.device.type == "cpu"
    assert torch.isfinite(there.pixels).all()
    if not mixed:
        here = case.attacked(LABELS, Run("test"))
        assert (here.pixels - there.pixels).abs().mean() < PIXELS


@pytest.mark.parametrize("name", ["gmi", "kedmi", "brep_mi", "ppa", "mirror"])
def test_an_attack_that_was_killed_ends_as_if_it_had_not_been(name, device, worlds, tmp_path, monkeypatch):
    monkeypatch.setattr("unveil.attacks.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    case = worlds.CASES[name]

    def attacked(**more):
        run = Run("test", device=device, **more)
        return case.attacked(LABELS, run, target_on(case.world, device, case.attack.access)).pixels

    with pytest.raises(KilledError):
        attacked(scratch=tmp_path, shown=KillsAt(5))
    assert list(tmp_path.glob("*.pt"))
    assert torch.equal(attacked(scratch=tmp_path), attacked())


def trained(device, defenses=(), mixed=False, **more):
    data, run = tiny.data(), Run("test", device, mixed, **more)
    net = tiny.untrained("target")
    for defense in defenses:
        net = defense.prepare(net, run)
    history = fit(net, defenses, data.train, data.validation, tiny.RECIPE, run)
    return net, history


@pytest.mark.parametrize("mixed", [False, True], ids=["full", "mixed"])
@pytest.mark.parametrize("name", DEFENSES)
def test_training_under_a_defense(name, mixed, device):
    defense = settings.make("defenses", Spec(name, SETTINGS.get(name, {})), Path())
    net, history = trained(device, (defense,), mixed)
    there = predict(net, tiny.data().test, device=device)
    assert torch.isfinite(there).all()
    if not mixed and name not in ("dp_sgd", "mid"):  # whose noise is drawn on the device, or hangs on rounding
        here = predict(trained(torch.device("cpu"), (defense,))[0], tiny.data().test)
        assert (here - there).abs().max() < LOGITS * here.abs().max()
    assert len(history.curves["loss"]) == tiny.RECIPE.epochs


def test_training_that_was_killed_ends_as_if_it_had_not_been(device, tmp_path):
    batches = len(tiny.RECIPE.batches(tiny.data().train.labels, 0, Run("test")))
    with pytest.raises(KilledError):
        trained(device, scratch=tmp_path, shown=KillsAt(batches + 3))
    assert list(tmp_path.glob("*.pt"))
    resumed, whole = (trained(device, scratch=folder)[0].state_dict() for folder in (tmp_path, None))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_same_seed_gives_the_same_dropout_on_any_card(device):
    run = Run("test", device)

    def dropped():
        with seeded(run, "dropout"):
            return torch.nn.functional.dropout(torch.ones(1000, device=device))

    first = dropped()
    torch.rand(3, device=device)
    assert torch.equal(first, dropped())


@pytest.mark.parametrize("name", PRIORS)
def test_a_prior_learns_and_draws(name, device):
    plugin = settings.make("priors", Spec(name, {"steps": 3, "batch": 8, **PRIORS[name]}), Path())

    def drawn(where):
        net = plugin.build(tiny.CLASSES, tiny.SHAPE)
        view = View(tiny.target().to(where), plugin.access, tiny.SHAPE) if plugin.access else None
        plugin.fit(net, tiny.public(32), view, Run("test", where))
        z = net.sample(Run("latents").generators("z", [(i,) for i in range(4)]))
        with torch.no_grad():
            return net.eval().synthesize(z.to(where)).cpu()

    assert (drawn(torch.device("cpu")) - drawn(device)).abs().mean() < PIXELS


def test_everything_is_tried():
    assert set(PRIORS) | ASSETS == set(plugins.registered("priors"))
    assert set(MODELS) | FILES == set(plugins.registered("models"))
    assert {name.split()[0] for name in ATTACKS} | {"held_out_private"} == set(plugins.registered("attacks"))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_answers_as_on_the_cpu(name, device):
    made = settings.make("models", Spec(name, MODELS[name]), Path())
    net = made.build(5, (3, 112, 112), Run("test")).eval().requires_grad_(False)
    x = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    here = net.logits(x)
    there = net.to(device).logits(x.to(device)).cpu()
    assert (here - there).abs().max() <= 1e-3 * here.abs().max()


def test_what_is_stored_can_be_read_on_either_side(device, tmp_path):
    net, _ = trained(device)
    store = Store(str(tmp_path))
    store.save("a" * 64, Artefact({"classes": 4}, net.state_dict()))
    back = Store(str(tmp_path)).load("a" * 64).tensors
    assert all(t.device.type == "cpu" for t in back.values())
    assert all(torch.equal(t.cpu(), back[name]) for name, t in net.state_dict().items())
    other = tiny.untrained("another")
    other.load_state_dict(back)
    there = predict(net, tiny.data().test, device=device)
    assert (predict(other, tiny.data().test) - there).abs().max() < 1e-2 * there.abs().max()


def test_a_target_in_another_process_answers_as_here(device, parts, tmp_path):
    parts.write(tmp_path, 'use = "none"', 'use = "random_latents", samples = 1, prior = WGAN', 'use = "utility"')
    assert not parts.errors(parts.rows(tmp_path, str(device), isolated=True))
    store = next(path for path in tmp_path.iterdir() if path.is_dir() and path.name != "__pycache__")
    node = next(n for n in expand(read(str(tmp_path / "plan.toml"))).nodes() if n.kind == "target")
    target = classifiers.read(node, Bench(Store(str(store))), Run("test", device))
    x = torch.rand(5, 3, 16, 16).to(device)
    held = Held(str(store), node, Access.SCORES, (3, 16, 16), Budget(), str(device), torch.get_num_threads())
    with held_apart(held, 3) as desk:
        (apart,) = desk.ask("scores", x)
    assert apart.device == x.device
    assert torch.equal(apart, View(target, Access.SCORES, (3, 16, 16)).scores(x))


@pytest.mark.parametrize("mixed", [False, True], ids=["full", "mixed"])
@pytest.mark.parametrize("what", ["attacks", "defenses"])
def test_a_plan_of_everything_ends_well(what, mixed, device, parts, tmp_path):
    none, gmi = 'use = "none"', parts.ATTACKS.strip().splitlines()[0]
    usable = [one for one in parts.DEFENSES.splitlines() if "dp_sgd" not in one or importlib.util.find_spec("opacus")]
    defenses, attacks = (none, parts.ATTACKS) if what == "attacks" else ("\n".join(usable), gmi)
    parts.write(tmp_path, defenses, attacks, parts.METRICS + parts.MORE_METRICS * (what == "attacks"))
    rows = parts.rows(tmp_path, str(device), mixed=mixed, isolated=False)
    assert not parts.errors(rows)
    assert all(figure.value is not None or figure.reason for row in rows for figure in row.figures)


def test_mixed_precision_leaves_scores_alone(device, worlds):
    view = target_on(worlds.World(), device, Access.SCORES)
    x = torch.rand(4, 1, 2, 3).to(device)
    with Run("test", device, mixed_precision=True).autocast():
        mixed = view.scores(x)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, view.scores(x))


def test_a_compiled_attack_finds_the_same(device, worlds):
    if device.type == "cpu":
        pytest.skip("compiling for the CPU is tested elsewhere")
    case = worlds.CASES["gmi"]
    run = Run("test", device=device, compiled=True)
    found = case.attacked(LABELS, run, View(case.world.target().to(device), Access.WHITE_BOX, case.world.shape))
    assert (found.pixels - case.attacked(LABELS, Run("test")).pixels).abs().mean() < PIXELS


def test_pictures_need_not_lie_on_the_cpu(device):
    data = tiny.data()
    there = dataclasses.replace(data, test=Images(data.test.pixels.to(device), data.test.labels))
    net = tiny.target().to(device)
    assert torch.equal(predict(net, there.test, device=device), predict(net, data.test, device=device))

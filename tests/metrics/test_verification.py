"""Verification with an embedder that reads the embedding off the pixels, so that every similarity is made by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from unveil.harness.conformance import check
from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Data, Direction, Evidence, Images
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AssetError, PluginError, WeightsError
from unveil.harness.words.memo import Memo
from unveil.harness.words.pixels import to_float, to_uint8
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.metrics import verification
from unveil.metrics.verification import Verification

READS = "x[:, 0, 0, :] - 0.5"  # the toy embedder's features of pixels


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.setattr(verification, "_calibrated", Memo(4))


def shown(vectors, labels):
    """Pictures whose embeddings are these vectors with entries in [-0.5, 0.5], as 8 bits have them."""
    pixels = torch.as_tensor(vectors, dtype=torch.float32)[:, None, None, :].expand(-1, 3, 8, -1) + 0.5
    return Images(to_float(to_uint8(pixels.contiguous())), torch.as_tensor(labels, dtype=torch.int64))


def people(spread=0.1, private=12, public=60, seed=0, kept=("test", "validation", "public")):
    """Data and the centres of the private people."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.3, 0.3, (private + public, 8))

    def some(of, each):
        who = np.repeat(of, each)
        return who, (centres[who] + rng.normal(0, spread, (len(who), 8))).clip(-0.5, 0.5)

    made = {part: some(np.arange(private), each) for part, each in (("train", 5), ("validation", 1), ("test", 3))}
    made["public"] = some(np.arange(private, private + public), 3)
    parts = {part: shown(x, who - private * (part == "public")) for part, (who, x) in made.items()}
    parts = {part: images if part in (*kept, "train") else images[:0] for part, images in parts.items()}
    names = tuple(f"person {i}" for i in range(private))
    return Data(**parts, names=names, checksum=f"{seed} {kept}", disjoint="none are public"), centres[:private]


def evidence(data, fakes, target=None):
    nobody = Classifier({"body": nn.BatchNorm2d(3)}, nn.Identity(), classes=data.classes)
    return Evidence(data, target or nobody, None, fakes, Run("test"))


def by_column(measurements):
    for m in measurements:
        to_figure("verification", None, m)
    return {m.about.column: m for m in measurements}


def unit(images):
    x = images.pixels[:, 0, 0, :].double().numpy() - 0.5
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def reference(data, match):
    """Genuine and impostor scores by loops."""
    gallery = {p: unit(data.train[data.train.labels == p]) for p in range(data.classes)}

    def score(x, p):
        return max(gallery[p] @ x) if match == "max" else x @ gallery[p].mean(0) / np.linalg.norm(gallery[p].mean(0))

    held = [(x, int(y)) for part in (data.validation, data.test) for x, y in zip(unit(part), part.labels, strict=True)]
    genuine = [score(x, y) for x, y in held]
    impostors = [score(x, p) for x, y in held for p in gallery if p != y]
    return score, genuine, impostors + [score(x, p) for x in unit(data.public) for p in gallery]


@pytest.mark.parametrize("match", ["mean", "max"])
def test_it_is_what_loops_and_quantiles_say(toy, match, measured):
    data, centres = people()
    fakes = shown(np.concatenate([centres, -centres, centres[::-1]]), np.tile(np.arange(12), 3))
    columns = by_column(measured(Verification(toy, match=match), evidence(data, fakes)))
    score, genuine, impostors = reference(data, match)
    others, impostors = np.array(impostors[: 48 * 11]), np.sort(impostors)
    t = columns["threshold at FAR 1 %"].value
    assert len(impostors) == 48 * 11 + 180 * 12
    allowed = int(0.01 * len(impostors))
    assert impostors[-allowed - 1] <= t <= impostors[-allowed]
    assert t == pytest.approx(np.quantile(impostors, 0.99, method="inverted_cdf"), abs=0.01)
    assert columns["threshold at FAR 1 %"].standard_error > 0
    own = [score(x, int(y)) > t for x, y in zip(unit(fakes), fakes.labels, strict=True)]
    verified = columns["verified at FAR 1 %"]
    assert verified.values.tolist() == own
    assert verified.identities.tolist() == fakes.labels.tolist()
    assert verified.direction is Direction.LEAKS
    assert verified.values[:12].mean() > 0.9
    assert verified.values[12:24].sum() == 0
    real = columns["genuine accepted at FAR 1 %"]
    assert (real.values.mean(), real.samples) == (pytest.approx(np.mean(np.array(genuine) > t)), 48)
    strangers = columns["other private people accepted at FAR 1 %"]
    assert strangers.samples == 48 * 11
    assert strangers.values.mean() == pytest.approx(np.mean(others > t))
    assert columns["area under the ROC"].value == pytest.approx(
        np.mean([np.mean(impostors < g) for g in genuine]), abs=1e-12
    )


def test_rates_that_the_pairs_do_not_resolve_are_not_scored(toy, measured):
    data, centres = people()
    columns = by_column(measured(Verification(toy), evidence(data, shown(centres, range(12)))))
    assert columns["verified at FAR 1 %"].values is not None
    for name in ("verified", "genuine accepted", "other private people accepted", "threshold"):
        assert "2688 impostor pairs do not resolve" in columns[f"{name} at FAR 0.1 %"].reason
        assert "10000 needed" in columns[f"{name} at FAR 0.1 %"].reason
    assert columns["area under the ROC"].value > 0.5


def test_the_curve_is_what_loops_say_and_goes_as_far_as_the_pairs_do(toy, measured):
    data, centres = people(spread=0.2)
    columns = by_column(measured(Verification(toy, rates=(0.02, 0.03)), evidence(data, shown(centres, range(12)))))
    _, genuine, impostors = reference(data, "mean")
    genuine, impostors = np.array(genuine), np.sort(impostors)[::-1]
    shares = []
    for percent in ("1", "2", "3", "10"):
        point = columns[f"genuine accepted at FAR {percent} %"]
        shares.append(float(point.values.mean()))
        passing = int(float(percent) / 100 * len(impostors))  # the threshold is between this pair and the next
        assert np.mean(genuine > impostors[passing - 1]) <= shares[-1] <= np.mean(genuine > impostors[passing])
        assert (point.direction, len(np.unique(point.identities))) == (Direction.DESCRIBES, 12)
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] < 1
    for percent in ("0.03", "0.1", "0.3"):
        assert "2688 impostor pairs do not resolve" in columns[f"genuine accepted at FAR {percent} %"].reason
    assert len(columns) == 2 * 4 + 1 + 5  # 3 % is there already


def test_public_pictures_are_no_must(toy, measured):
    data, centres = people(private=40, kept=("validation", "test"))
    columns = by_column(measured(Verification(toy), evidence(data, shown(centres, range(40)))))
    assert columns["verified at FAR 1 %"].values.mean() > 0.9


def test_the_threshold_is_the_same_whatever_was_reconstructed(toy, measured):
    data, centres = people()
    unknown = Images(data.public.pixels, torch.full_like(data.public.labels, -1))
    data = Data(data.train, data.validation, data.test, unknown, data.names, "unknown", data.disjoint)
    found = []
    for fakes in (shown(centres, range(12)), shown(-centres[:3], range(3))):
        verification._calibrated.clear()
        columns = by_column(measured(Verification(toy, strangers=100), evidence(data, fakes)))
        found.append([columns["threshold at FAR 1 %"].value, columns["threshold at FAR 1 %"].standard_error])
    assert found[0] == found[1]
    assert columns["threshold at FAR 1 %"].samples == 48 + 100


def test_strangers_are_thinned_person_by_person():
    labels = torch.tensor([0] * 10 + [1] * 2 + [2] * 10)
    images = Images(torch.zeros(22, 3, 2, 2), labels)
    assert verification._thinned(images, 9, Run("x")).labels.bincount().tolist() in ([4, 2, 3], [3, 2, 4])
    assert len(verification._thinned(images, 22, Run("x"))) == 22


def test_no_trained_weights_no_score(toy, tmp_path, measured):
    data, centres = people()
    some = evidence(data, shown(centres, range(12)))
    for metric, why in (
        (Verification(), "mobilefacenet has no trained weights"),
        (Verification(Spec("small_resnet")), "small_resnet has no trained weights"),
        (Verification(Spec(toy.use, {"trained": False})), "no trained weights"),
        (Verification(weights=str(tmp_path / "gone.pth")), "cannot be had"),
    ):
        with pytest.raises(AssetError, match=why):
            measured(metric, some)
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError):
        measured(Verification(weights=str(tmp_path / "broken.pth")), some)
    with pytest.raises(PluginError, match="has no setting 'weights'"):
        measured(Verification(Spec("small_resnet"), weights="some.pth"), some)


def test_people_without_pictures_are_not_scored(toy, measured):
    data, centres = people(kept=("public",))
    (m, *_) = measured(Verification(toy), evidence(data, shown(centres, range(12))))
    assert "no held-out private pictures" in m.reason
    data, centres = people()
    (m, *_) = measured(Verification(toy), evidence(data, shown(centres[:1], [12])))
    assert "class 12" in m.reason


def test_it_conforms_when_it_scores(toy, tmp_path):
    source = (
        (tmp_path / "toy.py").read_text().replace("x[:, 0, 0, :] - 0.5", "x.mean((2, 3)).repeat(1, 3)[:, :8] - 0.5")
    )
    (tmp_path / "tones.py").write_text(source)
    settings = {"embedder": {"use": f"{tmp_path / 'tones.py'}:Toy"}, "rates": [0.1]}
    report = check("verification", "metrics", settings, tmp_path)
    assert report.ok, str(report)
    assert not [finding for finding in report.findings if finding.ok is None], str(report)

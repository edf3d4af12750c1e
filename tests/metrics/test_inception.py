import pytest
import torch

from unveil.harness.assets import torchvision_ops
from unveil.harness.words.errors import WeightsError
from unveil.metrics.inception import FIDInception, load_inception

torchvision_ops.ensure()


@pytest.fixture(scope="module")
def weights():
    """Random weights that keep the signal alive through all layers."""
    from torchvision.models import Inception3  # noqa: PLC0415 - only after ensure()

    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        layout = Inception3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    state = {}
    for name, value in layout.items():
        fan = max(1, value[0].numel()) if value.ndim > 1 else 1
        noise = torch.randn(value.shape, generator=generator)
        state[name] = noise.mul((2 / fan) ** 0.5) if value.ndim > 1 else noise.mul(0.1)
        if name.endswith(("running_var", "bn.weight")):
            state[name] = 1 + state[name].abs()
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
    return state


@pytest.mark.parametrize("side", [64, 299, 320])
def test_features_are_those_of_pytorch_fid(weights, monkeypatch, side):
    package = pytest.importorskip("pytorch_fid.inception")
    monkeypatch.setattr(package, "load_state_dict_from_url", lambda *_, **__: weights)
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.random.fork_rng():
        expected = package.InceptionV3().eval()(x)[0].flatten(1)
        found = FIDInception(weights)(x)
    assert found.shape == (1, 2048)
    assert expected.std() > 1e-3  # the signal is alive
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_other_weights_are_refused(weights, tmp_path):
    state = dict(weights)
    state.pop("fc.weight")
    torch.save(state, tmp_path / "inception.pth")
    with pytest.raises(WeightsError, match=r"fc\.weight"):
        load_inception(tmp_path / "inception.pth")


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "inception.pth").write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="is a web page, not weights"):
        load_inception(tmp_path / "inception.pth")

"""Data may be rectangles; what draws squares says so before it trains."""

import pytest

from unveil.harness.plan import settings
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.spec import Spec


@pytest.mark.parametrize("prior", ["wgan_gp", "inversion_gan", "conditional_gan", "style_gan", "mobile_style"])
def test_a_prior_that_draws_squares_refuses_rectangles(prior, tmp_path):
    with pytest.raises(UnveilError, match="square"):
        settings.make("priors", Spec(prior), tmp_path).build(3, (3, 128, 64))

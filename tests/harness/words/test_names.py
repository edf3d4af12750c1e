"""Names of columns are rendered from fields, come back as fields, and need no torch."""

import json
import math
import subprocess
import sys

import pytest
from pydantic import ValidationError

from unveil.harness.figures.rows import Figure, Row
from unveil.harness.words.names import (
    CONFIRMED,
    DEPTH,
    INVERSION,
    LAYER_SHARE,
    TOP_1,
    VERIFIED,
    Opinion,
    Quantity,
    Strength,
)

CLOSED = Opinion(judge="cnn", answer="closed-set top-1", closed=True)
NAMES = {
    "top-1": Quantity(quantity=TOP_1),
    "closed-set top-1": Quantity(quantity=TOP_1, closed=True),
    "verified at FAR 0.1 %": Quantity(quantity=VERIFIED, rate=0.001),
    "inversion depth": Quantity(quantity=DEPTH, task=INVERSION),
    "inversion: stem: 0 at FAR 1 %": Quantity(quantity=LAYER_SHARE, task=INVERSION, layer="stem: 0 at FAR 1 %"),
    "closed-set successes of closed-set top-1 (cnn) confirmed by a confirmed by b": Quantity(
        quantity=CONFIRMED, confirmed=CLOSED, confirmed_by=Opinion(judge="a confirmed by b")
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_column_is_named_by_its_fields_which_survive_json(name):
    figure = Figure(
        **dict(NAMES[name]), metric="m", unit="share", direction="higher leaks more", range=(0, 1), value=0.5
    )
    plain = json.loads(json.dumps(figure.plain()))
    assert plain["column"] == name
    again = Figure.model_validate(plain)
    assert again == figure
    assert again.about == NAMES[name]


def test_a_name_alone_is_a_quantity_and_never_read():
    alone = Figure(metric="m", column="verified at FAR 1 %", unit="u", direction="higher leaks more", range=(0, 1))
    assert (alone.quantity, alone.rate, alone.column) == ("verified at FAR 1 %", None, "verified at FAR 1 %")
    with pytest.raises(ValidationError, match="rate"):
        Quantity(quantity=VERIFIED, rate=1.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.03, "beta=0.03"), (["a", "b"], "beta=a,b"), (math.inf, "beta=inf"), ("auto", "beta=auto"), (True, "beta=True")],
)
def test_a_strength_survives_json(value, text):
    cell = {"data": "d", "model": "m", "defense": "mid", "attack": "gmi", "seed": 0}
    row = Row(**cell, status="done", strength=Strength(setting="beta", value=value))
    again = Row.model_validate_json(json.dumps(row.plain()))
    assert again == row
    assert str(again.strength) == text


def test_no_torch():
    code = "import sys, unveil.harness.words.names, unveil.harness.figures.rows; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

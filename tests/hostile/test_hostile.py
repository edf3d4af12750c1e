"""Files that want to run something, to fill the memory, to last for ever or to lead elsewhere: each is a case here.

A case is refused with an error of the project's own that says why, or, where the input is allowed to be odd, the case
itself says what is made of it. The last test counts.
"""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
try:
    from hostile_cases import CASES, ENTRIES

    for name in ("hostile_weights", "hostile_files", "hostile_texts", "hostile_submissions"):
        importlib.import_module(name)
finally:
    sys.path.pop(0)


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"{one.entry}: {one.name}")
def test_nothing_is_executed_and_everything_ends_in_words(one, place, watched, tally):
    with watched():
        if one.error is None:
            one.feed(place)
        else:
            with pytest.raises(one.error, match=one.told) as found:
                one.feed(place)
            assert len(str(found.value)) < 20_000
    tally["inputs"] += 1


def test_the_count(tally):
    """Of this module; when single tests were chosen, of those."""
    assert len(CASES) >= 40
    assert {one.entry for one in CASES} == ENTRIES
    assert len({(one.entry, one.name) for one in CASES}) == len(CASES)
    assert (tally["executed"], tally["hung"]) == (0, 0)

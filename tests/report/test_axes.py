import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gingham.report.axes import Axis, axis_over, ticks

_VALUES = st.floats(-1e6, 1e6, allow_nan=False)


@given(_VALUES, st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in found)
    if len(found) > 1:
        step = found[1] - found[0]
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - round_one) for round_one in (1, 2, 5, 10)) < 1e-3


@given(st.lists(st.one_of(_VALUES, st.just(math.nan)), max_size=8))
def test_an_axis_holds_all_values(values: list[float]) -> None:
    axis = axis_over("loss", values)
    assert axis.low < axis.high
    assert all(axis.low - 1e-6 <= value <= axis.high + 1e-6 for value in values if math.isfinite(value))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_shares_stay_within_their_axis(values: list[float]) -> None:
    axis = axis_over("accuracy", values, percent=True)
    assert 0 <= axis.low <= min(values) + 1e-9
    assert max(values) - 1e-9 <= axis.high <= 1


def test_ticks_are_written_shortly() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert Axis("", 0, 1, percent=True).write(0.2) == "20%"
    assert Axis("", 0, 1).write(0.25) == "0.25"
    assert Axis("", 0.5, 1).place(0.75) == pytest.approx(0.5)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from gingham.evaluation.proportion import wilson_interval


@given(st.integers(1, 500), st.data())
def test_it_is_the_score_interval_of_scipy(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    ours = wilson_interval(hits, n)
    assert ours is not None
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= ours[0] <= hits / n <= ours[1] <= 1


def test_of_no_cases_there_is_none() -> None:
    assert wilson_interval(0, 0) is None

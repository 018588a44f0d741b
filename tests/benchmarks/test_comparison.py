from pathlib import Path

import pytest

from benchmarks.comparison import Settings, Spec, compare, logit_difference, pixel_difference
from benchmarks.harness import Plan
from benchmarks.process import MissingError
from benchmarks.work import Work
from tests.benchmarks.fakes import FakeMachine

HERE = "tests.benchmarks.test_comparison"


def answering(logits: list[list[float]], units: float = 1.0) -> Work:
    return Work(lambda: units, lambda: logits)


def spec(name: str, logits: list[list[float]], absent: str = "") -> Spec:
    return Spec(name, f"{HERE}:answering", {"logits": logits}, absent=absent)


def settings() -> Settings:
    plan = Plan(rounds=2, seconds=0.0, warm=0, pause=0.0)
    # A machine on which nobody else works, whatever happens here meanwhile.
    return Settings(True, False, Path(), None, plan, say=lambda text: None, clock=FakeMachine())


def test_a_table_has_the_baseline_first_and_says_what_is_missing() -> None:
    base, other = spec("plain", [[0.0, 2.0]]), spec("ours", [[0.0, 2.5]])
    broken = Spec("broken", f"{HERE}:nothing", {})
    table = compare(
        "a title",
        baselines=[base],
        candidates=[other, spec("absent", [], absent="not exported"), broken],
        unit="images",
        settings=settings(),
        together=1,
    )
    assert [row.name for row in table.rows] == ["plain", "ours"]
    assert table.baseline == "plain"
    assert set(table.rows[0].ratios) == {1.0}
    # The baseline is measured beside each group: three of one candidate, two rounds each.
    assert len(table.rows[0].values) == 6
    assert len(table.rows[1].ratios) == 2
    assert table.missing.keys() == {"absent", "broken"}
    assert table.missing["absent"] == "not exported"
    # Half a logit, where the reference's standard deviation is 1.
    assert table.rows[1].cells["logits differ by"] == "0.5 std"
    assert table.rows[0].cells["peak memory"].endswith("MB")


def test_of_several_baselines_one_is_taken_and_the_others_are_told() -> None:
    baselines = [spec("one thread", [[1.0]]), spec("two threads", [[1.0]])]
    table = compare("t", baselines=baselines, candidates=[], unit="images", settings=settings())
    assert table.sweep.keys() == {"one thread", "two threads"}
    assert table.baseline == min(table.sweep, key=lambda name: table.sweep[name])
    assert [row.name for row in table.rows] == [table.baseline]


def test_without_a_baseline_there_is_no_table() -> None:
    with pytest.raises(MissingError, match="the baseline plain: gone"):
        compare("t", baselines=[spec("plain", [], "gone")], candidates=[], unit="images", settings=settings())
    with pytest.raises(MissingError, match="a: gone; b: gone"):
        compare(
            "t",
            baselines=[spec("a", [], "gone"), spec("b", [], "gone")],
            candidates=[],
            unit="images",
            settings=settings(),
        )


def test_differences_of_answers() -> None:
    # Standard deviation of 0, 0, 4, 4 is 2.
    assert logit_difference([[0.0, 0.0], [4.0, 4.0]], [[0.0, 0.5], [4.0, 3.0]]) == {"logits differ by": "0.5 std"}
    assert logit_difference([[1.0, 1.0]], [[1.0, 1.0]]) == {"logits differ by": "?"}
    found = pixel_difference([[10.0, 20.0, 30.0, 40.0]], [[10.0, 21.0, 27.0, 40.0]])
    assert found == {"pixels differ by: mean, most": "1.00, 3"}
    with pytest.raises(ValueError, match="longer"):
        pixel_difference([[1.0]], [[1.0], [2.0]])

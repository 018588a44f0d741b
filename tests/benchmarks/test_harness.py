import pytest

from benchmarks.clock import Reading
from benchmarks.harness import Plan, Sample, calls_for, disturbed, fastest, interleave, ratios, take
from benchmarks.process import MissingError
from tests.benchmarks.fakes import FakeCandidate, FakeMachine, quiet

PLAN = Plan(rounds=3, seconds=1.0, warm=1, tolerance=0.05, tries=3, pause=0.0)


def sample(seconds: float) -> Sample:
    return Sample(seconds=seconds, units=1, wall=seconds, own=seconds, others=0)


def test_a_sample_is_disturbed_where_others_take_more_than_the_tolerance() -> None:
    before = Reading(0.0, 0.0, 0.0)
    # 2 seconds on 2 cores: 5% are 0.2 s, and the counters may be off by 0.03 s.
    for others, expected in ((0.0, False), (0.22, False), (0.24, True), (1.0, True)):
        after = Reading(2.0, 3.0 + others, 3.0)
        assert disturbed(before, after, cores=2, tolerance=0.05) is expected


def test_idle_cores_are_no_disturbance() -> None:
    """One thread on two cores leaves half of the processor idle."""
    assert not disturbed(Reading(0, 0, 0), Reading(2.0, 2.0, 2.0), cores=2, tolerance=0.05)


def test_a_quiet_sample_is_taken_as_it_is() -> None:
    machine = FakeMachine()
    found = take(FakeCandidate("a", machine, [0.5], units=4), 3, machine, PLAN, rest=quiet)
    assert found == Sample(seconds=0.125, units=12, wall=1.5, own=3.0, others=0, repeated=0, disturbed=False)


def test_a_disturbed_sample_is_thrown_away_and_taken_again() -> None:
    machine = FakeMachine(others=[1.0, 1.0])
    found = take(FakeCandidate("a", machine, [3.0, 2.0, 1.0]), 1, machine, PLAN, rest=quiet)
    assert (found.seconds, found.repeated, found.disturbed) == (1.0, 2, False)


def test_where_all_are_disturbed_the_least_stays_and_says_so() -> None:
    machine = FakeMachine(others=[1.0, 0.5, 2.0, 9.0])
    candidate = FakeCandidate("a", machine, [3.0, 2.0, 1.0])
    found = take(candidate, 1, machine, PLAN, rest=quiet)
    # Of the processor, others took 1/6, 1/8 and 2/2: the second is the least disturbed.
    assert (found.seconds, found.repeated, found.disturbed) == (2.0, 2, True)
    assert found.others == pytest.approx(0.5)
    assert len(candidate.calls) == PLAN.tries


def test_a_sample_has_as_many_calls_as_take_its_time() -> None:
    machine = FakeMachine()
    # 9 s to warm up does not count; then 0.3 s a call, 4 of which take more than a second.
    candidate = FakeCandidate("a", machine, [9.0, 0.3])
    assert calls_for(candidate, PLAN) == 4
    assert candidate.calls == [1, 1]
    assert calls_for(FakeCandidate("b", machine, [7.0]), PLAN) == 1


def test_slow_candidates_are_warmed_up_no_longer_than_it_takes_to_know_them() -> None:
    machine, plan = FakeMachine(), Plan(seconds=1.0, warm=5)
    slow, fast = FakeCandidate("slow", machine, [60.0, 2.0]), FakeCandidate("fast", machine, [60.0, 0.5])
    assert (calls_for(slow, plan), slow.calls) == (1, [1, 1])
    assert (calls_for(fast, plan), fast.calls) == (2, [1] * 6)


def test_rounds_take_a_sample_of_each_and_begin_with_another() -> None:
    machine = FakeMachine()
    order: list[str] = []

    class Noted(FakeCandidate):
        def run(self, calls: int) -> tuple[float, float]:
            order.append(self.name)
            return super().run(calls)

    candidates = [Noted(name, machine, [1.0]) for name in "abc"]
    found = interleave(candidates, machine, PLAN, missing={}, rest=quiet)
    assert {name: len(samples) for name, samples in found.items()} == {"a": 3, "b": 3, "c": 3}
    assert "".join(order) == "aabbcc" + "abc" + "bca" + "cab"


def test_one_that_breaks_is_missing_and_the_others_go_on() -> None:
    machine = FakeMachine()

    class Breaks(FakeCandidate):
        def run(self, calls: int) -> tuple[float, float]:
            if len(self.calls) == 3:
                raise MissingError("out of memory")
            return super().run(calls)

    missing: dict[str, str] = {}
    candidates = [FakeCandidate("a", machine, [1.0]), Breaks("b", machine, [1.0]), FakeCandidate("c", machine, [])]
    found = interleave(candidates, machine, PLAN, missing=missing, rest=quiet)
    assert list(found) == ["a"]
    assert len(found["a"]) == PLAN.rounds
    assert missing == {"b": "out of memory", "c": "it broke"}


def test_the_fastest_is_by_the_median() -> None:
    found = {"a": [sample(1.0), sample(1.1), sample(9.0)], "b": [sample(0.5), sample(2.0), sample(2.0)]}
    assert fastest(found) == "a"


def test_ratios_are_within_a_round() -> None:
    """The machine got three times as slow between the rounds, and the ratio is the same."""
    base, other = [sample(2.0), sample(6.0)], [sample(0.5), sample(1.5)]
    assert ratios(base, other) == [4.0, 4.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios(base, other[:1])

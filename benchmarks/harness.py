"""Candidates measured in turn, so that whatever the machine does hits all of them alike.

A round takes one sample of each candidate; the ratio of a candidate is that to the baseline's sample of the same round.
A sample during which other processes worked is taken again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from statistics import median
from time import sleep
from typing import Any, Protocol

from benchmarks.clock import Clock, Reading, others_seconds
from benchmarks.process import MissingError

__all__ = ["Candidate", "Plan", "Sample", "calls_for", "disturbed", "fastest", "interleave", "ratios", "take"]

_TICKS = 0.03
"""Seconds by which the kernel's counters may be off."""


class Candidate(Protocol):
    """What is measured: a `Process`, or in tests something that says how long it took."""

    name: str
    pid: int

    def run(self, calls: int) -> tuple[float, float]:
        """Work so many times: seconds, and units done."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: samples of each candidate.
        seconds: how long a sample takes at least.
        warm: calls before anything counts.
        tolerance: share of the processor that others may take during a sample.
        tries: samples at most, where others disturb, for one that counts.
        pause: seconds between samples, for threads that spin before they sleep.
    """

    rounds: int = 7
    seconds: float = 1.0
    warm: int = 2
    tolerance: float = 0.03
    tries: int = 5
    pause: float = 0.25


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        seconds: for one unit.
        units: that were done.
        wall: seconds in all.
        own: processor seconds of the candidate.
        others: processor seconds of other processes meanwhile.
        repeated: samples that were thrown away before this one, as others disturbed them.
        disturbed: whether this one was disturbed too, and is only the least disturbed.
    """

    seconds: float
    units: float
    wall: float
    own: float
    others: float
    repeated: int = 0
    disturbed: bool = False

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def disturbed(before: Reading, after: Reading, *, cores: int, tolerance: float) -> bool:
    """Whether other processes took more than that share of the cores' time."""
    wall = after.wall - before.wall
    return others_seconds(before, after) > tolerance * wall * cores + _TICKS


def take(
    candidate: Candidate, calls: int, clock: Clock, plan: Plan, *, rest: Callable[[float], None] = sleep
) -> Sample:
    """One sample, taken again while others disturb; of those that all were disturbed, the least.

    Raises:
        MissingError: the candidate failed.
    """
    taken: list[Sample] = []
    for _ in range(plan.tries):
        rest(plan.pause)
        before = clock.read(candidate.pid)
        seconds, units = candidate.run(calls)
        after = clock.read(candidate.pid)
        spoilt = disturbed(before, after, cores=clock.cores, tolerance=plan.tolerance)
        sample = Sample(
            seconds=seconds / units,
            units=units,
            wall=after.wall - before.wall,
            own=after.own - before.own,
            others=others_seconds(before, after),
            repeated=len(taken),
            disturbed=spoilt,
        )
        taken.append(sample)
        if not spoilt:
            return sample
    least = min(taken, key=lambda sample: sample.others / sample.wall)
    return Sample(**{**asdict(least), "repeated": len(taken) - 1})


def calls_for(candidate: Candidate, plan: Plan) -> int:
    """Warm a candidate up, and say how many calls make a sample. Raises `MissingError` if it fails."""
    for number in range(plan.warm + 1):
        seconds, _ = candidate.run(1)
        # The first call may have compiled something; from the second on, one that fills a sample has told enough.
        if number >= 1 and seconds >= plan.seconds:
            break
    return max(1, ceil(plan.seconds / max(seconds, 1e-6)))


def interleave(
    candidates: Sequence[Candidate],
    clock: Clock,
    plan: Plan,
    *,
    missing: dict[str, str],
    rest: Callable[[float], None] = sleep,
) -> dict[str, list[Sample]]:
    """Samples of each candidate, round by round; each round begins with another one.

    Args:
        candidates: built already.
        clock: tells what others took.
        plan: how much.
        missing: gets name -> reason of those that fail on the way; they have no samples then.
        rest: waits so many seconds.
    """
    calls: dict[str, int] = {}
    samples: dict[str, list[Sample]] = {}
    alive = list(candidates)

    def failed(candidate: Candidate, failure: MissingError) -> None:
        missing[candidate.name] = str(failure)
        samples.pop(candidate.name, None)
        alive.remove(candidate)

    for candidate in candidates:
        try:
            calls[candidate.name] = calls_for(candidate, plan)
        except MissingError as failure:
            failed(candidate, failure)
    for number in range(plan.rounds):
        first = number % max(1, len(alive))
        for candidate in [*alive[first:], *alive[:first]]:
            try:
                sample = take(candidate, calls[candidate.name], clock, plan, rest=rest)
                samples.setdefault(candidate.name, []).append(sample)
            except MissingError as failure:
                failed(candidate, failure)
    return samples


def fastest(samples: Mapping[str, Sequence[Sample]]) -> str:
    """The name with the least median of seconds a unit; the baseline's best chance.

    Raises:
        ValueError: there are none.
    """
    return min(samples, key=lambda name: median(sample.seconds for sample in samples[name]))


def ratios(baseline: Sequence[Sample], candidate: Sequence[Sample]) -> list[float]:
    """How many times as fast as the baseline, round by round."""
    return [one.seconds / other.seconds for one, other in zip(baseline, candidate, strict=True)]

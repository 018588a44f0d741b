"""A machine whose clock tells what a test says."""

from collections.abc import Sequence

from benchmarks.clock import Reading
from benchmarks.process import MissingError


class FakeMachine:
    """Time passes only while a candidate works, and others work as the test says."""

    def __init__(self, cores: int = 2, others: Sequence[float] = ()) -> None:
        self.cores = cores
        self.wall = self.busy = 0.0
        self.own: dict[int, float] = {}
        self.others = list(others)
        """Processor seconds of others in each sample to come; then none."""

    def read(self, pid: int) -> Reading:
        return Reading(self.wall, self.busy, self.own.get(pid, 0.0))

    def work(self, pid: int, seconds: float, processor: float) -> None:
        self.wall += seconds
        self.own[pid] = self.own.get(pid, 0.0) + processor
        self.busy += processor


class FakeCandidate:
    """Takes so many seconds for a call, on all cores."""

    def __init__(self, name: str, machine: FakeMachine, seconds: Sequence[float], *, units: float = 1.0) -> None:
        self.name = name
        self.pid = hash(name)
        self.calls: list[int] = []
        self._machine = machine
        self._seconds = list(seconds)
        self._units = units

    def run(self, calls: int) -> tuple[float, float]:
        self.calls.append(calls)
        if not self._seconds:
            raise MissingError("it broke")
        one = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self._machine.work(self.pid, one * calls, one * calls * self._machine.cores)
        if self._machine.others:
            self._machine.busy += self._machine.others.pop(0)
        return one * calls, self._units * calls


def quiet(seconds: float) -> None:
    """Rest without waiting."""

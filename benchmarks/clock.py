"""How long work took, and how much of the processor others took meanwhile."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

from gingham.cores import usable_cores

__all__ = ["Clock", "Reading", "SystemClock", "busy_seconds", "others_seconds", "tree_seconds"]

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_IDLE, _IOWAIT, _GUEST = 3, 4, 8


@dataclass(frozen=True)
class Reading:
    """Seconds: of the wall's clock, of all work on our cores, and of the candidate's work."""

    wall: float
    busy: float
    own: float


class Clock(Protocol):
    """What can be read before and after a sample."""

    cores: int

    def read(self, pid: int) -> Reading:
        """Now, for the candidate `pid` with its descendants."""


class SystemClock:
    """The clock of this machine (Linux), for the cores that this process may use."""

    def __init__(self) -> None:
        self._used = os.sched_getaffinity(0)
        self.cores = usable_cores()

    def read(self, pid: int) -> Reading:
        """See `Clock`."""
        stats = [
            text for entry in Path("/proc").iterdir() if entry.name.isdecimal() and (text := _text(entry / "stat"))
        ]
        own = tree_seconds(stats, pid)
        return Reading(perf_counter(), busy_seconds(_text(Path("/proc/stat")), self._used), own)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # The process ended meanwhile.
        return ""


def busy_seconds(stat: str, cores: Iterable[int]) -> float:
    """Seconds that the cores worked since the machine began, by the text of `/proc/stat`; what a host stole counts."""
    wanted = {f"cpu{core}" for core in cores}
    ticks = 0
    for name, *values in (line.split() for line in stat.splitlines() if line.startswith("cpu")):
        if name in wanted:
            # Guests are in `user` already.
            counted = [int(value) for place, value in enumerate(values[:_GUEST]) if place not in (_IDLE, _IOWAIT)]
            ticks += sum(counted)
    return ticks * _TICK


def tree_seconds(stats: Iterable[str], pid: int) -> float:
    """Seconds of work of a process and all below it, by the texts of `/proc/*/stat`; ended children are in those."""
    work: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for text in stats:
        number, _, rest = text.partition(" (")
        # The name of a process may hold spaces and brackets.
        fields = rest.rpartition(")")[2].split()
        children.setdefault(int(fields[1]), []).append(int(number))
        work[int(number)] = sum(map(int, fields[11:15])) * _TICK
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += work.get(one, 0.0)
        waiting += children.get(one, [])
    return total


def others_seconds(before: Reading, after: Reading) -> float:
    """Seconds of processor time between two readings that were not the candidate's."""
    return max(0.0, (after.busy - before.busy) - (after.own - before.own))

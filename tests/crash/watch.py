"""What a job is at: seen from outside, through memory that it shares with whoever started it."""

import contextlib
import functools
import json
import mmap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gingham.training import parts, run
from gingham.training.loop import Fit

PHASES = ("start-up", "caching", "training", "validation", "epoch's files", "saving", "final evaluation")

_PLACES: tuple[tuple[Any, str, str], ...] = (
    (parts, "cached_inputs", "caching"),
    (Fit, "_epoch", "training"),
    (Fit, "validate", "validation"),
    (run._Run, "_after_epoch", "epoch's files"),
    (run._Run, "_save", "saving"),
    (run._Run, "_finish", "final evaluation"),
)


class Watch:
    """The phase of a job, how often it entered each phase, and when: the last one is for the job itself."""

    def __init__(self) -> None:
        self._shared = memoryview(mmap.mmap(-1, 8 * (1 + len(PHASES)))).cast("q")
        self._spans: list[tuple[str, float]] = []
        self._phase = PHASES[0]

    @property
    def phase(self) -> str:
        return PHASES[self._shared[0]]

    def visits(self, phase: str) -> int:
        return self._shared[1 + PHASES.index(phase)]

    def enter_first(self) -> None:
        """Called in the job, as it begins."""
        self._shared[1] = 1
        self._spans.append((PHASES[0], time.monotonic()))

    def install(self) -> None:
        """Called in the job: from now on its phases show."""
        for owner, name, phase in _PLACES:
            setattr(owner, name, self._marked(getattr(owner, name), phase))

    def _marked(self, inner: Callable[..., Any], phase: str) -> Callable[..., Any]:
        @functools.wraps(inner)
        def outer(*arguments: Any, **named: Any) -> Any:
            with self._within(phase):
                return inner(*arguments, **named)

        return outer

    @contextlib.contextmanager
    def _within(self, phase: str) -> Iterator[None]:
        before, position = self._shared[0], PHASES.index(phase)
        self._shared[0] = position
        self._shared[1 + position] += 1
        self._spans.append((phase, time.monotonic()))
        try:
            yield
        finally:
            self._shared[0] = before
            self._spans.append((PHASES[before], time.monotonic()))

    def write(self, file: Path) -> None:
        """Called in the job at its end: the seconds that it spent in each phase."""
        seconds = dict.fromkeys(PHASES, 0.0)
        ends = [start for _, start in self._spans[1:]] + [time.monotonic()]
        for (phase, start), end in zip(self._spans, ends, strict=True):
            seconds[phase] += end - start
        file.write_text(json.dumps({"seconds": seconds, "visits": {name: self.visits(name) for name in PHASES}}))

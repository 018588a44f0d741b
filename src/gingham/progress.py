"""How long work tells that it goes on, without knowing who listens: silent by default, a console in the CLI."""

import contextlib
from collections.abc import Iterator

__all__ = ["Bar", "Inside", "Reporter"]


class Bar:
    """One piece of work with a known size. This one shows nothing."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Say that `amount` more is done; `note` replaces the text beside the bar."""


class Reporter:
    """Receives messages, warnings and progress. This one is silent; the command line has one that writes to stderr."""

    def say(self, text: str) -> None:
        """One line that the user may want to know."""

    def warn(self, text: str) -> None:
        """One line that the user should know: something is not as they may think."""

    @contextlib.contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        """Show progress of `total` units while the block runs."""
        yield Bar()


class Inside(Reporter):
    """For a piece of work inside a larger one: its progress is the note of the larger one's bar.

    Messages are left out; a warning passes once, however many pieces give it.

    Attributes:
        outer: the larger work's bar.
        prefix: what the work at hand is called.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.outer = Bar()
        self.prefix = ""
        self._reporter = reporter
        self._warned: set[str] = set()

    def warn(self, text: str) -> None:
        """Pass it on, unless it has been said."""
        if text not in self._warned:
            self._warned.add(text)
            self._reporter.warn(self.prefix + text)

    @contextlib.contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        """A bar that writes `prefix description done/total` beside the larger one."""
        yield _Note(self.outer, self.prefix + description, total)


class _Note(Bar):
    def __init__(self, outer: Bar, description: str, total: int) -> None:
        self._outer, self._description, self._total, self._done = outer, description, total, 0
        self.advance(0)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._done += amount
        self._outer.advance(0, f"{self._description} {self._done}/{self._total}")

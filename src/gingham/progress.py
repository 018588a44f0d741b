"""How long work tells that it goes on, without knowing who listens: silent by default, a console in the CLI."""

import contextlib
from collections.abc import Iterator

__all__ = ["Bar", "Reporter"]


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

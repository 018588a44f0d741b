"""What a person sees: messages and progress on stderr, results on stdout."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gingham.cli.terminal import harmless
from gingham.progress import Bar, Reporter

__all__ = ["ConsoleReporter", "print_json", "print_result", "show_warnings"]


class _ConsoleBar(Bar):
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1, note: str = "") -> None:
        fields: dict[str, Any] = {"note": note} if note else {}
        self._progress.update(self._task, advance=amount, **fields)


class _Stderr(Console):
    """Falls silent when nobody reads it any more: the work goes on, as its results go elsewhere."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class ConsoleReporter(Reporter):
    """Writes to stderr: bars where it is a terminal, lines everywhere."""

    def __init__(self) -> None:
        self._console = _Stderr(stderr=True, highlight=False, soft_wrap=True, emoji=False)

    def say(self, text: str) -> None:
        """One line."""
        with contextlib.suppress(BrokenPipeError):
            self._console.print(harmless(text), markup=False)

    def warn(self, text: str) -> None:
        """One line, marked as a warning."""
        with contextlib.suppress(BrokenPipeError):
            self._console.print(f"warning: {harmless(text)}", markup=False, style="yellow")

    @contextlib.contextmanager
    def bar(self, description: str, total: int) -> Iterator[Bar]:
        """A progress bar with time left; on a file or pipe, one line at the start."""
        if not self._console.is_terminal:
            self.say(f"{description}: {total}")
            yield Bar()
            return
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            transient=True,
        )
        with progress:
            yield _ConsoleBar(progress, progress.add_task(description, total=total, note=""))


def print_result(renderable: RenderableType) -> None:
    """Print a result on stdout; piped, at full width, so that nothing is cut off. Text is never wrapped."""
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, emoji=False, width=160)
    if isinstance(renderable, str):
        console.print(harmless(renderable), markup=False, soft_wrap=True)
    else:
        console.print(renderable)


def print_json(value: Any) -> None:
    """Print plain values as JSON on stdout."""
    import json

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def show_warnings(reporter: Reporter) -> None:
    """Send Python warnings of Gingham to the reporter, one line each, and hide those of other packages."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category.__module__.startswith("gingham"):
            reporter.warn(str(message))

    warnings.showwarning = show

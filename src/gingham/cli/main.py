"""`gingham`: the group of verbs, and what becomes of errors."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FrameType
from typing import Any

import click

from gingham import __version__
from gingham.cli.options import SuggestingGroup
from gingham.cli.terminal import harmless
from gingham.errors import ExitCode, GinghamError

__all__ = ["cli", "main", "run"]

_OUT_OF_MEMORY = "out of memory; use a smaller --batch-size, train.batch_size or model"
_LONGEST_LINE = 2_000
_PLAIN = (ExitCode.BUG, ExitCode.INTERRUPTED)

_VERBS = {
    "audit": ("gingham.cli.audit", "Look for faults in labelled photos."),
    "augment-preview": ("gingham.cli.augment_preview", "Draw what training sees of some images."),
    "train": ("gingham.cli.train", "Train a tagger from labelled photos."),
    "ensemble": ("gingham.cli.ensemble", "Join taggers in one that averages them."),
    "evaluate": ("gingham.cli.evaluate", "Measure a tagger on a labelled split."),
    "plot": ("gingham.cli.plot", "Draw the plots of a report, for papers."),
    "calibrate": ("gingham.cli.calibrate", "Make confidences mean what they say, and find what needs no look."),
    "export": ("gingham.cli.export", "Make a tagger for another runtime or precision, and check it."),
    "predict": ("gingham.cli.predict", "Tag images and write a table."),
    "monitor": ("gingham.cli.monitor", "Compare new predictions with those that a promise was made on."),
    "explain": ("gingham.cli.explain", "Show where in a photo its tags come from."),
    "faithfulness": ("gingham.cli.faithfulness", "Measure what these explanations are worth."),
    "submit": ("gingham.cli.submit", "Write the challenge's submission file."),
    "compare": ("gingham.cli.compare", "Compare two prediction files by paired bootstrap."),
    "study": ("gingham.cli.study", "Compare many recipes, with folds and seeds."),
    "push": ("gingham.cli.push", "Upload a tagger to the Hugging Face Hub."),
    "pull": ("gingham.cli.pull", "Download a tagger from the Hugging Face Hub."),
    "info": ("gingham.cli.info", "Describe a bundle, run or recipe; count parameters."),
    "recipes": ("gingham.cli.recipes", "List or copy the recipes that come along."),
    "schema": ("gingham.cli.schema", "Infer an attribute schema from labels."),
    "cache": ("gingham.cli.cache", "Show or clear the cache of features and image facts."),
    "wardrobe": ("gingham.cli.wardrobe", "Draw a data set of synthetic garments."),
    "demo": ("gingham.cli.demo", "Train, measure and use a small tagger on the wardrobe."),
}


class _ReaderLeftError(Exception):
    """Nobody reads our stdout any more. Not a `BrokenPipeError`, which click would turn into exit code 1."""


@contextlib.contextmanager
def _broken_pipe_renamed() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _ReaderLeftError from None


class _LazyGroup(SuggestingGroup):
    """Imports a verb's module when it is called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = import_module(_VERBS[cmd_name][0]).command
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _broken_pipe_renamed():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _broken_pipe_renamed():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in _VERBS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Gingham tags garment photos with several attributes at once.

    Results go to stdout, messages and progress to stderr. Exit codes: 0 done; 1 a bug; 2 your input; 3 the machine;
    4 done, some images unreadable; 5 a promise no longer stands (monitor); 130 Ctrl-C; 143 SIGTERM. GINGHAM_DEBUG=1
    shows tracebacks.
    """


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors become one line on stderr."""
    try:
        result = cli.main(arguments or ["--help"], prog_name="gingham", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitCode.DONE
    except click.UsageError as failure:
        return _fail(
            f"{failure.format_message()} (see {failure.ctx.command_path if failure.ctx else 'gingham'} --help)"
        )
    except click.ClickException as failure:
        return _fail(failure.format_message())
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _fail("interrupted", ExitCode.INTERRUPTED)
    except GinghamError as failure:
        return _fail(str(failure), failure.exit_code)
    except MemoryError:
        return _fail(_OUT_OF_MEMORY, ExitCode.MACHINE)
    except SystemExit as leave:
        # Rich leaves with 1 when the reader of our stdout has left.
        if not isinstance(leave.__context__, BrokenPipeError):
            raise
        return _unread()
    except (_ReaderLeftError, BrokenPipeError):
        return _unread()
    except OSError as failure:
        return _fail(f"{failure.filename or 'input/output'}: {failure.strerror or failure}", ExitCode.MACHINE)
    except Exception as failure:
        if type(failure).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(failure):
            return _fail(_OUT_OF_MEMORY, ExitCode.MACHINE)
        way_out = "(set GINGHAM_DEBUG=1 for the traceback, and please report it)"
        return _fail(f"bug: {type(failure).__name__}: {failure} {way_out}", ExitCode.BUG)


def _fail(text: str, code: ExitCode = ExitCode.USER) -> ExitCode:
    """Say in one line what went wrong, while an exception is being handled."""
    if os.environ.get("GINGHAM_DEBUG"):
        import traceback

        traceback.print_exc()
    # A name or value out of a stranger's file may be of any length.
    line = harmless(" ".join(text.split())[:_LONGEST_LINE])
    with contextlib.suppress(OSError):
        click.echo(line if code in _PLAIN else f"error: {line}", err=True)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _unread()
    return code


def _unread() -> ExitCode:
    """The reader of our stdout left (`| head`), which is no error, or its disk is full: write the rest nowhere.

    Otherwise Python would try once more at exit, and complain.
    """
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return ExitCode.DONE


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)

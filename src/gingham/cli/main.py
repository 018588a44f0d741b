"""`gingham`: the group of verbs, and what becomes of errors."""

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any

import click

from gingham import __version__
from gingham.errors import ExitCode, GinghamError

__all__ = ["cli", "main"]

_VERBS = {
    "train": ("gingham.cli.train", "Train a tagger from labelled photos."),
    "evaluate": ("gingham.cli.evaluate", "Measure a tagger on a labelled split."),
    "predict": ("gingham.cli.predict", "Tag images and write a table."),
    "submit": ("gingham.cli.submit", "Write the challenge's submission file."),
    "compare": ("gingham.cli.compare", "Compare two prediction files by paired bootstrap."),
    "info": ("gingham.cli.info", "Describe a bundle, run or recipe; count parameters."),
    "recipes": ("gingham.cli.recipes", "List or copy the recipes that come along."),
    "schema": ("gingham.cli.schema", "Infer an attribute schema from labels."),
    "cache": ("gingham.cli.cache", "Show or clear the cache of features."),
    "wardrobe": ("gingham.cli.wardrobe", "Draw a data set of synthetic garments."),
    "demo": ("gingham.cli.demo", "Train, measure and use a small tagger on the wardrobe."),
}


class _LazyGroup(click.Group):
    """Imports a verb's module when it is called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = import_module(_VERBS[cmd_name][0]).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], _VERBS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_VERBS)}"
            raise click.UsageError(f"no verb '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in _VERBS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Gingham tags garment photos with several attributes at once.

    Results go to stdout, messages and progress to stderr. Exit codes: 0 done; 1 a bug; 2 your input; 3 the machine;
    4 done, some images unreadable; 130 Ctrl-C; 143 SIGTERM. GINGHAM_DEBUG=1 shows tracebacks.
    """


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; errors become one line on stderr."""
    try:
        result = cli.main(arguments, prog_name="gingham", standalone_mode=False)
        code = int(result) if isinstance(result, int) else ExitCode.DONE
        sys.stdout.flush()
        return code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as failure:
        _say(f"{failure.format_message()} (see {failure.ctx.command_path if failure.ctx else 'gingham'} --help)")
        return ExitCode.USER
    except (click.exceptions.Abort, KeyboardInterrupt):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except GinghamError as failure:
        _debug()
        _say(f"error: {' '.join(str(failure).split())}")
        return failure.exit_code
    except MemoryError:
        _debug()
        _say("error: out of memory; use a smaller --batch-size, train.batch_size or model")
        return ExitCode.MACHINE
    except BrokenPipeError:
        # The reader of our stdout left (`| head`): not an error of ours; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except OSError as failure:
        _debug()
        _say(f"error: {failure.filename or 'input/output'}: {failure.strerror or failure}")
        return ExitCode.MACHINE
    except Exception as failure:
        _debug()
        if type(failure).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(failure):
            _say("error: out of memory; use a smaller --batch-size, train.batch_size or model")
            return ExitCode.MACHINE
        _say(f"bug: {type(failure).__name__}: {failure} (set GINGHAM_DEBUG=1 for the traceback, and please report it)")
        return ExitCode.BUG


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.TERMINATED)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _debug() -> None:
    if os.environ.get("GINGHAM_DEBUG"):
        import traceback

        traceback.print_exc()

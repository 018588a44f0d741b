"""`gingham demo`."""

from pathlib import Path

import click

from gingham.cli.options import out_folder

__all__ = ["command"]


@click.command("demo")
@click.option("--out", type=out_folder, default=Path("runs/demo"), show_default=True, help="Folder of the run.")
def command(out: Path) -> int:
    """Draw a wardrobe, train a small tagger on it, measure it, and tag pictures that it has not seen."""
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.demo import run_demo
    from gingham.errors import ExitCode
    from gingham.evaluation.tables import headline
    from gingham.heap import keep_freed_memory
    from gingham.training.interrupt import Stopped, stop_on_signals

    reporter = ConsoleReporter()
    show_warnings(reporter)
    keep_freed_memory()
    try:
        with stop_on_signals() as stop:
            result = run_demo(out, reporter=reporter, stop=stop)
    except Stopped:
        reporter.say(f"stopped; go on with gingham train --resume --out {out}")
        return stop.exit_code
    print_result(f"held-out part: {headline(result.metrics)}")
    for what, path in result.files.items():
        print_result(f"{what:<20} {path}")
    return ExitCode.DONE

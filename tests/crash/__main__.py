"""python -m tests.crash: kill a training job at many moments and see that nothing is lost.

Power loss is not tested: what the operating system was given, it still has after a kill.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # Before numpy and torch look at it: a process with threads cannot be forked.

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.crash.steps import disturb
from tests.crash.trials import Bench, Result
from tests.crash.watch import PHASES

_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs, spread over the phases of the job")
    parser.add_argument("--stops", type=int, default=14, help="SIGTERMs, and as many Ctrl-C, likewise")
    parser.add_argument("--processes", type=int, default=1, help="of the job, as torchrun would start them")
    parser.add_argument("--steps", type=int, default=1, help="disturb a save at every n-th of its steps; 0: not at all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="file to write every trial to")
    return parser.parse_args()


def _disturbed_saves(console: Console, scratch: Path, stride: int) -> list[tuple[str, str, int]]:
    rows = []
    for what, how, count in disturb(scratch, stride):
        console.print(f"{what}: {how}: {count} of {count} leave the old or the new one, whole")
        rows.append((what, how, count))
    return rows


def _killed_jobs(console: Console, scratch: Path, arguments: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    bench = Bench(scratch, arguments.processes, arguments.seed)
    for number in _SIGNALS:
        for result in bench.trials(number, arguments.kills if number == signal.SIGKILL else arguments.stops):
            results.append(result)
            what = ", then ".join(f"{name} in {phase}" for name, phase in zip(result.signals, result.hit, strict=True))
            console.print(f"{result.name}: {what}: {'; '.join(result.faults) or 'same bits'}", markup=False)
    return results


def _table(results: list[Result]) -> Table:
    hits = Counter(hit for result in results for hit in zip(result.signals, result.hit, strict=True))
    table = Table("phase", *(number.name for number in _SIGNALS), title="signals by the phase in which they came")
    for phase in (*PHASES, "done"):
        table.add_row(phase, *(str(hits[number.name, phase]) for number in _SIGNALS))
    return table


def main() -> int:
    arguments = _arguments()
    console, started = Console(soft_wrap=True, highlight=False), time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix="gingham-crash-"))
    saves = _disturbed_saves(console, scratch / "saves", arguments.steps) if arguments.steps else []
    results = _killed_jobs(console, scratch, arguments)
    faults = [f"{result.name}: {fault}" for result in results for fault in result.faults]
    stops = [
        seconds
        for result in results
        for name, hit, seconds in zip(result.signals, result.hit, result.seconds, strict=True)
        if name != "SIGKILL" and hit != "done"
    ]
    console.print(_table(results))
    console.print(
        f"{sum(count for *_, count in saves)} disturbed saves; {len(results)} jobs of {arguments.processes} "
        f"process(es), {len(faults)} faults; SIGTERM and Ctrl-C took {max(stops, default=0):.1f} s at most; "
        f"{(time.monotonic() - started) / 60:.1f} minutes"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"saves": saves, "jobs": [asdict(item) for item in results]}, indent=2))
    if faults:
        console.print(f"the folders of these jobs are in {scratch}", markup=False)
        return 1
    shutil.rmtree(scratch)
    return 0


if __name__ == "__main__":
    sys.exit(main())

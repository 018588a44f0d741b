"""A candidate in a process of its own: `python -m benchmarks.worker MODULE:FACTORY JSON`.

PyTorch, OpenVINO and ONNX Runtime keep pools of threads that wait by spinning; in one process they would slow each
other down, so each candidate has its own, which sleeps until it is asked. Questions come as lines of JSON on stdin and
answers go to stdout; what libraries print goes to stderr.
"""

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter
from typing import Any

__all__ = ["peak_bytes"]


def main() -> None:
    """Build the work, then answer until stdin ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(answer: Mapping[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    target, arguments = sys.argv[1], json.loads(sys.argv[2])
    module, _, factory = target.partition(":")
    try:
        work = getattr(import_module(module), factory)(**arguments)
    except (Exception, SystemExit) as failure:
        say({"error": _reason(failure)})
        return
    say({"facts": dict(work.facts)})
    for line in sys.stdin:
        try:
            say(_answer(work, json.loads(line)))
        except Exception as failure:
            say({"error": _reason(failure)})
            break
    if work.close is not None:
        work.close()


def _answer(work: Any, question: Mapping[str, Any]) -> dict[str, Any]:
    if question["ask"] == "run":
        begin = perf_counter()
        units = sum(work.call() for _ in range(question["calls"]))
        return {"seconds": perf_counter() - begin, "units": units}
    if question["ask"] == "answers":
        return {"answers": None if work.answers is None else [list(map(float, row)) for row in work.answers()]}
    if question["ask"] == "forget peak":
        forget_peak()
        return {}
    return {"peak": peak_bytes()}


def forget_peak() -> None:
    """Begin `VmHWM` anew from what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process held, with that of its children (pages they share count for each).

    Of children that have ended, the largest counts alone.
    """
    pids = [os.getpid(), *_descendants(os.getpid())]
    return max(sum(map(_high_water, pids)), 1024 * getrusage(RUSAGE_CHILDREN).ru_maxrss)


def _descendants(pid: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *_descendants(child)]
    return found


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _reason(failure: BaseException) -> str:
    first = (str(failure).strip() or "no message").splitlines()[0][:300]
    return f"{type(failure).__name__}: {first}"


if __name__ == "__main__":
    main()

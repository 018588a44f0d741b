"""The other end of `worker`: a candidate that is asked to work."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from benchmarks.work import Answers

__all__ = ["MissingError", "Process"]

_REPOSITORY = Path(__file__).resolve().parent.parent
_PATIENCE = 1800.0


class MissingError(Exception):
    """A candidate that cannot be measured here; the message says why."""


def _inherited() -> dict[str, str]:
    """This process's environment without what sets numbers of threads, which are a candidate's own matter."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}


class Process:
    """A candidate in a child process, which works only when asked.

    Attributes:
        name: of the candidate.
        pid: of the child.
        facts: what it says of itself, by column.
    """

    def __init__(
        self, name: str, factory: str, arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it and wait until it is built.

        Args:
            name: for tables.
            factory: `module:function` that returns the `Work`.
            arguments: of the function, plain values.
            environment: beside that of this process.

        Raises:
            MissingError: it cannot be built.
        """
        self.name = name
        path = os.pathsep.join([str(_REPOSITORY), str(_REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")])
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", factory, json.dumps(dict(arguments))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_REPOSITORY,
            env={**_inherited(), "PYTHONPATH": path.rstrip(os.pathsep), **(environment or {})},
        )
        self.pid = self._child.pid
        try:
            self.facts: dict[str, str] = self._read()["facts"]
        except MissingError:
            self.close()
            raise

    def run(self, calls: int) -> tuple[float, float]:
        """Let it work so many times: seconds by its own clock, and units done. Raises `MissingError` if it fails."""
        answer = self._ask({"ask": "run", "calls": calls})
        return float(answer["seconds"]), float(answer["units"])

    def answers(self) -> Answers | None:
        """Its logits of the first photos, if it has any. Raises `MissingError` if it fails."""
        found: Answers | None = self._ask({"ask": "answers"})["answers"]
        return found

    def forget_peak(self) -> None:
        """Begin its peak of memory anew. Raises `MissingError` if the system does not let it."""
        self._ask({"ask": "forget peak"})

    def peak(self) -> int:
        """Bytes that it, and its children, held at most. Raises `MissingError` if it fails."""
        return int(self._ask({"ask": "peak"})["peak"])

    def close(self) -> None:
        """End it."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        stream = self._child.stdin
        assert stream is not None
        try:
            stream.write((json.dumps(dict(question)) + "\n").encode())
            stream.flush()
        except OSError:
            raise MissingError(f"its process ended with {self._child.poll()}") from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        stream: IO[bytes] | None = self._child.stdout
        assert stream is not None
        if not select.select([stream], [], [], _PATIENCE)[0]:
            self._child.kill()
            raise MissingError(f"no answer in {_PATIENCE:.0f} s")
        line = stream.readline()
        if not line:
            raise MissingError(f"its process ended with {self._child.wait(30)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MissingError(answer["error"])
        return answer

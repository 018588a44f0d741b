"""Candidates in processes of their own."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.process import MissingError, Process
from benchmarks.work import Work

HERE = "tests.benchmarks.test_process"


def counting(size: int = 0, environment: str = "") -> Work:
    """A portion is three units; it holds so many bytes."""
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    sys.stdout.write("a library says something")
    return Work(lambda: 3, lambda: [[float(len(held)), 1.0]], facts=(("threads", os.environ.get(environment, "")),))


def refusing() -> Work:
    raise ValueError("no such model\nand a long story")


def breaking() -> Work:
    def call() -> int:
        raise RuntimeError("out of luck")

    return Work(call)


def dying() -> Work:
    os._exit(3)


def closing(file: str) -> Work:
    return Work(lambda: 1, close=lambda: Path(file).write_text("closed") and None)


def test_it_works_when_it_is_asked() -> None:
    arguments = {"environment": "OMP_NUM_THREADS"}
    with Process("a", f"{HERE}:counting", arguments, {"OMP_NUM_THREADS": "7"}) as process:
        seconds, units = process.run(5)
        assert units == 15
        assert seconds >= 0
        assert process.answers() == [[0.0, 1.0]]
        assert process.facts == {"threads": "7"}


def test_memory_that_it_holds_is_in_its_peak() -> None:
    with (
        Process("small", f"{HERE}:counting", {}) as small,
        Process("large", f"{HERE}:counting", {"size": 2**27}) as large,
    ):
        assert 0.9 * 2**27 < large.peak() - small.peak() < 1.3 * 2**27
        large.forget_peak()
        assert large.peak() > 2**27


@pytest.mark.parametrize(
    ("factory", "reason"),
    [("refusing", "^ValueError: no such model$"), ("dying", "its process ended with 3"), ("nothing", "AttributeError")],
)
def test_one_that_cannot_be_built_says_why(factory: str, reason: str) -> None:
    with pytest.raises(MissingError, match=reason):
        Process("a", f"{HERE}:{factory}", {})


def test_one_that_breaks_says_why() -> None:
    with (
        Process("a", f"{HERE}:breaking", {}) as process,
        pytest.raises(MissingError, match="RuntimeError: out of luck"),
    ):
        process.run(1)


def test_it_cleans_up_at_its_end(tmp_path: Path) -> None:
    with Process("a", f"{HERE}:closing", {"file": str(tmp_path / "end")}) as process:
        process.run(1)
    assert (tmp_path / "end").read_text() == "closed"

import threading
import time
from collections.abc import Iterator

import pytest

from gingham.data.prefetch import prefetch


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("depth", [1, 3, 100])
def test_results_come_in_order(workers: int, depth: int) -> None:
    def load(task: int) -> int:
        time.sleep(0.002 * (task % 3))
        return task * task

    assert list(prefetch(range(30), load, workers=workers, depth=depth)) == [task * task for task in range(30)]


def test_no_tasks() -> None:
    assert list(prefetch([], str, workers=2, depth=2)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_tasks_are_read_only_so_far_ahead(workers: int) -> None:
    begun: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(100):
            begun.append(number)
            yield number

    results = prefetch(tasks(), lambda task: task, workers=workers, depth=5)
    assert begun == []
    for expected in range(10):
        assert next(results) == expected
        assert len(begun) <= expected + 1 + 5
    results.close()  # type: ignore[attr-defined]


def test_several_threads_work_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    results = prefetch(range(3), lambda _: together.wait(), workers=3, depth=3)
    assert sorted(results) == [0, 1, 2]


@pytest.mark.parametrize("workers", [0, 3])
def test_an_exception_comes_in_its_turn(workers: int) -> None:
    def load(task: int) -> int:
        if task == 4:
            raise KeyError("four")
        time.sleep(0.005)
        return task

    results = prefetch(range(10), load, workers=workers, depth=10)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(KeyError, match="four"):
        next(results)


def test_an_exception_of_the_tasks_comes_in_its_turn() -> None:
    def tasks() -> Iterator[int]:
        yield from range(4)
        raise OSError("no more")

    results = prefetch(tasks(), lambda task: task, workers=2, depth=10)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="no more"):
        next(results)


@pytest.mark.parametrize("end", ["close", "delete", "error", "interrupt"])
def test_stopping_early_leaves_no_thread_and_begins_nothing_more(end: str) -> None:
    before = threading.active_count()
    loaded: list[int] = []

    def load(task: int) -> int:
        time.sleep(0.01)
        loaded.append(task)
        return task

    def consume() -> None:
        results = prefetch(range(1000), load, workers=4, depth=8)
        assert next(results) == 0
        if end == "close":
            results.close()  # type: ignore[attr-defined]
        elif end == "error":
            for _ in results:
                raise RuntimeError("the consumer failed")
        elif end == "interrupt":
            results.throw(KeyboardInterrupt)  # type: ignore[attr-defined]

    if end == "error":
        with pytest.raises(RuntimeError):
            consume()
    elif end == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            consume()
    else:
        consume()
    assert threading.active_count() == before
    assert len(loaded) < 20


@pytest.mark.parametrize(("workers", "depth"), [(-1, 1), (1, 0)])
def test_wrong_numbers_are_refused_at_once(workers: int, depth: int) -> None:
    with pytest.raises(ValueError, match="prefetch needs"):
        prefetch([1], str, workers=workers, depth=depth)

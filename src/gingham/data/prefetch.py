"""Work ahead on a few tasks in threads, and hand out the results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")
R = TypeVar("R")


def prefetch(tasks: Iterable[T], load: Callable[[T], R], *, workers: int, depth: int) -> Generator[R, None, None]:
    """Yield `load(task)` for every task, in order, while threads work on the next ones.

    Threads, as Pillow lets go of the interpreter's lock while it decodes and resizes. An exception of `load` (or of
    the tasks' iterator) is raised when its turn comes, after the results before it. Closing the generator early,
    an exception or Ctrl-C cancels what has not begun and waits for the loads that run.

    Args:
        tasks: read lazily, never more than `depth` ahead, always in the caller's thread.
        load: called in a worker thread; in the caller's, if `workers` is 0.
        workers: number of threads; 0 = none.
        depth: how many tasks may be under way or waiting to be taken, at least 1.

    Raises:
        ValueError: `workers` is negative or `depth` less than 1.
    """
    if workers < 0 or depth < 1:
        raise ValueError(f"prefetch needs workers >= 0 and depth >= 1, got {workers} and {depth}")
    return _in_turn(tasks, load) if workers == 0 else _ahead(tasks, load, workers, depth)


def _in_turn(tasks: Iterable[T], load: Callable[[T], R]) -> Generator[R, None, None]:
    for task in tasks:
        yield load(task)


def _ahead(tasks: Iterable[T], load: Callable[[T], R], workers: int, depth: int) -> Generator[R, None, None]:
    source = iter(tasks)
    waiting: deque[Future[R]] = deque()
    exhausted = False
    pool = ThreadPoolExecutor(workers, thread_name_prefix="gingham-prefetch")
    try:
        while True:
            while not exhausted and len(waiting) < depth:
                try:
                    waiting.append(pool.submit(load, next(source)))
                except StopIteration:
                    exhausted = True
                except Exception as failure:
                    # It takes its place in the queue: the results before it come first.
                    broken: Future[R] = Future()
                    broken.set_exception(failure)
                    waiting.append(broken)
                    exhausted = True
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)

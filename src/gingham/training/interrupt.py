"""SIGTERM during training: finish the step, save, leave. A second one ends the process at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gingham.errors import ExitCode

__all__ = ["stop_on_sigterm"]


@contextmanager
def stop_on_sigterm() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM came; the previous handler is put back at the end.

    Outside of the main thread signals cannot be handled: the function then always says no.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if came.is_set():
            os._exit(ExitCode.TERMINATED)
        came.set()

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGTERM, previous)

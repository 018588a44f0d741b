"""SIGTERM and Ctrl-C during training: finish the step, save, leave. A second one ends the process at once."""

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gingham.errors import ExitCode

__all__ = ["Stop", "Stopped", "stop_on_signals"]

_EXIT_CODES = {signal.SIGTERM: ExitCode.TERMINATED, signal.SIGINT: ExitCode.INTERRUPTED}
_ONE_EVENT = 2.0
"""Seconds. Processes under torchrun get a signal twice: from whoever sends it to all, and passed on by torchrun."""
_OVERDUE = 8.0
"""Seconds that a process has to leave after a signal, or after the patient block that it came in."""


class Stopped(BaseException):
    """Somebody asked the run to stop. Not an error: `except Exception` lets it through."""


class Stop:
    """How a run hears that it shall stop. By this one it never does.

    Attributes:
        exit_code: what a process that was stopped returns; as after SIGTERM, if another process of the run was asked.
    """

    exit_code = ExitCode.TERMINATED

    def asked(self) -> bool:
        """Whether the run shall stop; looked at inside of `patiently`, after each step."""
        return False

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """While the block runs, a request is noted, not acted upon: the run looks at `asked`, and saves first."""
        yield


class _SignalStop(Stop):
    """Raises `Stopped` in the main thread when the first signal comes; in a patient block, at its end.

    Attributes:
        patient: whether such a block runs.
        patient_until: when the last one ended, by the monotonic clock.
        raised: whether `Stopped` was raised out of the blue.
    """

    def __init__(self) -> None:
        self._asked = self.patient = self.raised = False
        self.patient_until = 0.0

    def asked(self) -> bool:
        return self._asked

    @contextmanager
    def patiently(self) -> Iterator[None]:
        self.patient = not self._asked
        try:
            if self.patient:
                yield
        finally:
            self.patient, self.patient_until = False, time.monotonic()
        if self._asked:
            raise Stopped

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            return
        self._asked, self.exit_code = True, _EXIT_CODES[signal.Signals(number)]
        if not self.patient:
            self.raised = True
            raise Stopped


def _watch(numbers: int, stop: _SignalStop) -> None:
    """Read the numbers of the signals that come, and end the process where its main thread does not.

    That may be deep in a long computation when the second signal comes, wait for a process that is no more, or call a
    library that loses the exception. All files are whole at any moment.
    """
    came = 0.0
    exit_code = ExitCode.TERMINATED
    while True:
        if not select.select([numbers], [], [], _OVERDUE / 8 if came else None)[0]:
            if not stop.patient and time.monotonic() - max(came, stop.patient_until) > _OVERDUE:
                os._exit(exit_code)
            continue
        number = os.read(numbers, 1)
        if not number:
            os.close(numbers)
            return
        if number[0] not in _EXIT_CODES:
            continue
        if not came:
            came, exit_code = time.monotonic(), _EXIT_CODES[signal.Signals(number[0])]
        elif "TORCHELASTIC_RUN_ID" not in os.environ or time.monotonic() - came > _ONE_EVENT:
            os._exit(exit_code)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Yield what SIGTERM and Ctrl-C stop; the previous handlers are put back at the end.

    Outside of the main thread signals cannot be handled: nothing then asks to stop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return
    stop = _SignalStop()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    threading.Thread(target=_watch, args=(reading, stop), daemon=True, name="gingham-signals").start()
    previous_writing = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, stop.handle) for number in _EXIT_CODES}
    try:
        yield stop
    except Exception as failure:
        if stop.raised:  # A library made another error of it.
            raise Stopped from failure
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_writing)
        os.close(writing)

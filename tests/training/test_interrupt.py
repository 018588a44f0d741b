import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.errors import MachineError
from gingham.training.checkpoint import newest_checkpoint
from gingham.training.interrupt import Stop, Stopped, stop_on_signals
from gingham.training.recipe import Recipe


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_at_once_or_after_the_patient_block(number: signal.Signals, code: int) -> None:
    def block(stop: Stop) -> None:
        with stop.patiently():
            os.kill(os.getpid(), number)
            reached.append(stop.asked())

    before, reached = signal.getsignal(number), list[bool]()
    with stop_on_signals() as stop:
        assert not stop.asked()
        with pytest.raises(Stopped):
            os.kill(os.getpid(), number)
    with stop_on_signals() as stop:
        with pytest.raises(Stopped):
            block(stop)
        assert (reached, stop.exit_code) == ([True], code)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("launched", [False, True])
def test_a_second_signal_ends_the_process_even_inside_a_long_computation(launched: bool) -> None:
    """But two at once are one event under torchrun, where whoever sends to all is doubled."""
    code = """
import os, signal, threading, time
import torch
from gingham.training.interrupt import Stopped, stop_on_signals
torch.set_num_threads(1)
with stop_on_signals() as stop:
    try:
        with stop.patiently():
            for delay in DELAYS:
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGTERM)).start()
            big = torch.rand(100, 100)
            deadline = time.monotonic() + 1.2
            while time.monotonic() < deadline:
                torch.linalg.matrix_power(big, 1000)
    except Stopped:
        print("patient to the end", stop.exit_code)
"""
    environment = {**os.environ, **({"TORCHELASTIC_RUN_ID": "1"} if launched else {})}
    command = [sys.executable, "-c", code.replace("DELAYS", "(0.1, 0.4)")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == ((0, "patient to the end 143\n") if launched else (143, "")), done.stderr


def test_a_signal_that_a_library_makes_an_error_of_still_stops() -> None:
    def convert() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Stopped:
            raise ValueError("could not determine the shape") from None

    def run() -> None:
        with stop_on_signals():
            convert()

    with pytest.raises(Stopped):
        run()


def test_a_signal_that_a_library_swallows_stops_before_training() -> None:
    def run() -> None:
        with stop_on_signals() as stop:
            with contextlib.suppress(Stopped):
                os.kill(os.getpid(), signal.SIGTERM)
            with stop.patiently():
                raise AssertionError("it trains")

    with pytest.raises(Stopped):
        run()


def test_an_error_while_a_stopped_run_saves_is_said() -> None:
    def run() -> None:
        with stop_on_signals() as stop, stop.patiently():
            os.kill(os.getpid(), signal.SIGTERM)
            raise MachineError("the disk is full")

    with pytest.raises(MachineError):
        run()


def test_a_process_that_waits_for_another_one_is_not_waited_for() -> None:
    """Python's handlers don't run while the main thread is inside of a call that does not return."""
    code = """
import ctypes, os, signal, threading, time
from gingham.training import interrupt
interrupt._OVERDUE = 0.4
def send():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
with interrupt.stop_on_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=send).start()
    ctypes.CDLL(None).sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr) == (143, "")


def test_a_run_that_gets_sigterm_saves_and_leaves_with_143(
    photos: Path, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    """That it goes on to the same bits is what `tests/crash` shows."""
    tiny("train.epochs=1000", "train.batch_size=2").write(tmp_path / "recipe.yaml")
    run = tmp_path / "run"
    command = [sys.executable, "-m", "gingham", "train", "--device", "cpu", "--data", str(photos)]
    process = subprocess.Popen(
        [*command, "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(run)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (run / "history.csv").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 143, messages
    assert messages.splitlines()[-1] == f"stopped; go on with gingham train --resume --out {run}"
    path, damaged = newest_checkpoint(run / "checkpoints")
    assert path is not None
    assert not damaged

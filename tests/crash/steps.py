"""Kill, or let fail, each step of a save: every call that changes a file, one after the other."""

import contextlib
import errno
import functools
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from gingham import storage
from gingham.data.options import DataOptions
from gingham.errors import MachineError
from gingham.inference.bundle import open_bundle
from gingham.inference.member import Member
from gingham.inference.save import write_bundle
from gingham.models.network import Network
from gingham.tensors import load_tensors
from gingham.training.checkpoint import TrainingState, load_checkpoint, newest_checkpoint, save_checkpoint
from gingham.training.folder import claim
from gingham.training.history import Epoch, write_history
from tests import tiny

_CHANGES = {
    *("mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "utime"),  # of `os`
    *("open", "write", "flush"),  # of files
    "serialize_file",  # of safetensors
}
_IDENTITY = {"recipe": "abc", "processes": 1}
_PAGE, _CUTS = 4096, 32
_WRONG = 99


@dataclass(frozen=True)
class Save:
    """Something that is saved, twice: the second time is disturbed.

    Attributes:
        what: for people.
        do: saves into a folder; the number tells the first from the second time.
        found: which of both is there, whole; raises if neither is.
        exchange: whether folders can be exchanged, as on Linux.
    """

    what: str
    do: Callable[[Path, int], None]
    found: Callable[[Path], int]
    exchange: bool = True


def _history(number: int) -> list[Epoch]:
    return [Epoch(epoch, 10 * epoch, 1e-4, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, 1.0) for epoch in range(1, number + 1)]


def _checkpoint(folder: Path, number: int, step: int) -> None:
    save_checkpoint(
        folder / "checkpoints",
        weights={"weight": torch.full((30, 1000), float(number))},
        optimizer={"weight:exp_avg": torch.full((3000,), float(number))},
        generators={"0:cpu": torch.get_rng_state()},
        state=TrainingState(0, step, step),
        identity=_IDENTITY,
        keep=1,
    )


def _newest(folder: Path) -> int:
    path, damaged = newest_checkpoint(folder / "checkpoints")
    assert path is not None, "no whole checkpoint is left"
    assert not damaged, damaged
    state, weights, *_ = load_checkpoint(path, _IDENTITY)
    number = int(weights["weight"][0, 0])
    assert (weights["weight"] == number).all()
    assert state.step in (10, 10 * number)
    return number


@functools.cache
def _network(number: int) -> Network:
    return tiny.network(seed=number)


def _bundle(folder: Path, number: int) -> None:
    write_bundle(
        folder / "best",
        network=_network(number),
        member=Member(model=tiny.MODEL, preprocess=tiny.preprocess()),
        schema=tiny.SCHEMA,
        data=DataOptions(),
        trained={"number": number},
        card="A tagger.",
    )


def _best(folder: Path) -> int:
    number: int = open_bundle(folder / "best").trained["number"]
    expected = _network(number).state_dict()
    found = load_tensors(folder / "best" / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    return number


def _rows(folder: Path) -> int:
    return len((folder / "history.csv").read_text().splitlines()) - 1


SAVES = (
    Save("checkpoint", lambda folder, number: _checkpoint(folder, number, 10 * number), _newest),
    Save("checkpoint of the same step", lambda folder, number: _checkpoint(folder, number, 10), _newest),
    Save("the same, without exchange", lambda folder, number: _checkpoint(folder, number, 10), _newest, exchange=False),
    Save("best/", _bundle, _best),
    Save("best/, without exchange", _bundle, _best, exchange=False),
    Save("history.csv", lambda folder, number: write_history(folder / "history.csv", _history(number)), _rows),
)


class _Counter:
    """Counts the calls that change files, and acts at one of them."""

    def __init__(self, act_at: int, act: Callable[[], None]) -> None:
        self.count = 0
        self._act_at, self._act = act_at, act

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        python = event == "call" and frame.f_code is _EXCHANGE
        if python or (event == "c_call" and getattr(argument, "__name__", "") in _CHANGES):
            self.count += 1
            if self.count == self._act_at:
                self._act()


_EXCHANGE = storage._exchange.__code__


@contextlib.contextmanager
def _counting(counter: _Counter) -> Iterator[None]:
    sys.setprofile(counter)
    try:
        yield
    finally:
        sys.setprofile(None)


def _forked(work: Callable[[], int]) -> int:
    """The exit code of work in a process of its own; negative where a signal ended it."""
    pid = os.fork()
    if pid == 0:
        code = _WRONG
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _saved(save: Save, folder: Path, refusal: str) -> int:
    """Save for the second time; the exit code that the command line would end with."""
    try:
        save.do(folder, 2)
    except MachineError as failure:
        return failure.exit_code if refusal in str(failure) else _WRONG
    return 0


def _disturbed(save: Save, folder: Path, step: int, act: Callable[[], None]) -> int:
    if not save.exchange:
        storage._exchange = lambda one, other: False
    with _counting(_Counter(step, act)):
        return _saved(save, folder, "the disk is full; free some space")


def _cut_off(save: Save, folder: Path, limit: int, reaction: signal.Handlers) -> int:
    """No file may grow beyond a limit: the write that would is cut off in its middle, and fails or ends the process."""
    signal.signal(signal.SIGXFSZ, reaction)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    return _saved(save, folder, "the file size limit is reached")


def _check(save: Save, folder: Path, code: int, expected: int) -> None:
    """What must hold after a disturbed save: the old or the new one is there; the next job clears up and can save."""
    assert code == expected, f"exit code {code}, expected {expected}"
    if save.exchange:
        save.found(folder)
    with claim(folder):
        save.found(folder)
        left = [path for path in folder.rglob("*") if storage.is_in_work(path)]
        assert not left, left
        save.do(folder, 2)
        assert save.found(folder) == 2


def _ways(save: Save, fresh: Path, stride: int) -> Iterator[tuple[str, int, range, Callable[[Path, int], int]]]:
    """What is done, the exit code to expect, at which points, and the doing."""
    counter = _Counter(0, _kill)
    copy = fresh.with_name("counted")
    shutil.copytree(fresh, copy)
    with _counting(counter):
        save.do(copy, 2)
    shutil.rmtree(copy)
    steps = range(1, counter.count + 1, stride)
    largest = max(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
    sizes = range(1, largest, max(_PAGE, largest // _CUTS) * stride)
    yield "killed at a step", -signal.SIGKILL, steps, lambda folder, at: _disturbed(save, folder, at, _kill)
    yield "disk full at a step", 3, steps, lambda folder, at: _disturbed(save, folder, at, _fail)
    yield "killed in a write", -signal.SIGXFSZ, sizes, lambda folder, at: _cut_off(save, folder, at, signal.SIG_DFL)
    yield "limit reached in a write", 3, sizes, lambda folder, at: _cut_off(save, folder, at, signal.SIG_IGN)


def disturb(scratch: Path, stride: int) -> Iterator[tuple[str, str, int]]:
    """Disturb every save at every `stride`-th point in every way.

    Yields:
        What was saved, what was done to it, and at how many points.

    Raises:
        AssertionError: neither the old nor the new one was there afterwards, or something else went wrong.
    """
    fresh, folder = scratch / "fresh", scratch / "disturbed"
    for save in SAVES:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save.do(fresh, 1)
        for what, expected, points, way in _ways(save, fresh, stride):
            for at in points:
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(fresh, folder)
                code = _forked(lambda way=way, at=at: way(folder, at))  # type: ignore[misc]
                try:
                    _check(save, folder, code, expected)
                except AssertionError as fault:
                    raise AssertionError(f"{save.what}, {what} {at}: {fault}") from fault
            yield save.what, what, len(points)

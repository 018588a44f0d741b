"""Run in a mount namespace of its own: trains on disks that fill up, or turn read-only, as an epoch ends.

unshare --mount python full_disk.py DATA RECIPE FOLDER
"""

import contextlib
import subprocess
import sys
from pathlib import Path

import torch

from gingham.cli.console import ConsoleReporter
from gingham.cli.main import run
from gingham.storage import is_in_work
from gingham.training.checkpoint import newest_checkpoint

_say = ConsoleReporter.say


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


class Full:
    """Somebody else fills the disk."""

    def __init__(self, disk: Path) -> None:
        self._ballast = disk / "ballast"

    def begin(self) -> None:
        with self._ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(4096))

    def spread(self) -> None:
        """A full disk is full."""

    def end(self) -> None:
        self._ballast.unlink()


class ReadOnly:
    """First the checkpoints, then the whole disk: that cannot be done while a file on it is open."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._checkpoints = disk, disk / "run" / "checkpoints"

    def begin(self) -> None:
        mount("--bind", self._checkpoints, self._checkpoints)
        mount("-o", "remount,bind,ro", self._checkpoints)

    def spread(self) -> None:
        subprocess.run(["umount", str(self._checkpoints)], check=True)
        mount("-o", "remount,ro", self._disk)

    def end(self) -> None:
        mount("-o", "remount,rw", self._disk)


def main() -> None:
    torch.set_num_threads(1)
    data, recipe, folder = map(Path, sys.argv[1:])
    for kind in (Full, ReadOnly):
        disk = folder / kind.__name__
        disk.mkdir()
        mount("-t", "tmpfs", "-o", "size=32m", "tmpfs", disk)
        out, trouble = disk / "run", kind(disk)

        def say(self: ConsoleReporter, text: str, trouble: Full | ReadOnly = trouble) -> None:
            _say(self, text)
            if text.startswith("epoch 2/3: loss"):
                trouble.begin()

        ConsoleReporter.say = say  # type: ignore[method-assign]
        codes = [run(["train", "--data", str(data), "--recipe", str(recipe), "--out", str(out), "--device", "cpu"])]
        ConsoleReporter.say = _say  # type: ignore[method-assign]
        newest, damaged = newest_checkpoint(out / "checkpoints")
        trouble.spread()
        codes.append(run(["train", "--resume", "--out", str(out), "--device", "cpu"]))
        trouble.end()
        left = [path.name for path in out.rglob("*") if is_in_work(path)]
        codes.append(run(["train", "--resume", "--out", str(out), "--device", "cpu"]))
        print("result", kind.__name__, *map(int, codes), newest and newest.name, damaged, left)  # noqa: T201


if __name__ == "__main__":
    main()

"""The job that is killed: one small training run, forked from a process that has imported everything already."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib.backends.backend_agg  # noqa: F401
import pyarrow.parquet  # noqa: F401
import tensorboard.compat.proto.event_pb2
import tensorboard.summary.writer.record_writer  # noqa: F401
import torch

import gingham.cli.console
import gingham.cli.train
import gingham.evaluation.tables
import gingham.training.estimate  # noqa: F401
from gingham.cli.main import main
from gingham.inference import features
from gingham.training.recipe import Recipe, load_recipe
from gingham.wardrobe import generate
from tests.crash.watch import Watch

_GARMENTS = 120
_EPOCHS = 4

torch.set_num_threads(1)


def prepare(folder: Path) -> None:
    """Draw the garments and write the recipe of the job: several shards, epochs and checkpoints in a few seconds."""
    generate(folder / "data", _GARMENTS, 0)
    recipe().write(folder / "recipe.yaml")


def recipe() -> Recipe:
    return load_recipe(
        "wardrobe",
        [
            "model.backbone=test_resnet",
            "model.weights=none",
            "model.query2label.width=32",
            "model.query2label.ffn=64",
            "preprocess.size=64",
            "augment.resize=72",
            "features.views=2",
            "train.batch_size=8",
            f"train.epochs={_EPOCHS}",
            "train.workers=1",
        ],
    )


class Job:
    """A run that goes on in processes of its own, in `place / "run"`, with a feature cache of its own.

    Args:
        base: where `prepare` was called.
        place: the trial's folder.
        processes: how many take part, as `torchrun` would start them.
    """

    def __init__(self, base: Path, place: Path, processes: int) -> None:
        self.watch = Watch()
        self.messages = place / "messages.txt"
        self.codes: dict[int, int] = {}
        out = place / "run"
        arguments = ["train", "--device", "cpu", "--out", str(out)]
        if (out / "recipe.yaml").is_file():
            arguments += ["--resume"]
        else:
            arguments += ["--data", str(base / "data"), "--recipe", str(base / "recipe.yaml")]
        place.mkdir(exist_ok=True)
        self.messages.write_text("")
        port = _free_port()
        self.pids = [self._fork(arguments, place, rank, processes, port) for rank in range(processes)]

    def _fork(self, arguments: Sequence[str], place: Path, rank: int, processes: int, port: int) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            with self.messages.open("a") as stream:
                os.dup2(stream.fileno(), 1)
                os.dup2(stream.fileno(), 2)
            os.environ["GINGHAM_CACHE"] = str(place / "cache")
            if processes > 1:
                world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                os.environ.update({name: str(value) for name, value in world.items()})
                os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            # Several shards for this few images; whole batches of the backbone fit into one.
            features._SHARD_ROWS = 32
            if rank == 0:
                self.watch.enter_first()
                self.watch.install()
            sys.argv = ["gingham", *arguments]
            signal.signal(signal.SIGINT, signal.default_int_handler)
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        finally:
            if rank == 0:
                self.watch.write(place / "phases.json")
            os._exit(code)

    def send(self, number: signal.Signals, ranks: Sequence[int]) -> None:
        for rank in ranks:
            if rank not in self.codes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pids[rank], number)

    def alive(self) -> bool:
        """Whether a process of the job still runs; collects those that ended."""
        for rank, pid in enumerate(self.pids):
            if rank not in self.codes:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    self.codes[rank] = os.waitstatus_to_exitcode(status)
        return len(self.codes) < len(self.pids)

    def wait(self, seconds: float) -> dict[int, int]:
        """Wait for the end, as `torchrun` does: where one process fails, the others get SIGTERM, and later SIGKILL.

        Returns:
            Rank -> exit code; negative where a signal ended it.
        """
        ranks = range(len(self.pids))
        deadline, told, failed = time.monotonic() + seconds, False, None
        while self.alive():
            now = time.monotonic()
            if failed is None and any(self.codes.values()):
                failed = now
            if now > deadline or (failed is not None and now > failed + 30):
                self.send(signal.SIGKILL, ranks)
            elif failed is not None and not told and now > failed + 0.1:
                self.send(signal.SIGTERM, ranks)
                told = True
            time.sleep(0.002)
        return self.codes


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""(g) From the command line to its end: `gingham --help`, and `gingham predict` of one photo."""

import os
import subprocess
import sys
from dataclasses import replace
from tempfile import TemporaryDirectory

from benchmarks.comparison import Settings, Spec, Table, compare
from benchmarks.models import NAMES, exports, plain
from benchmarks.photos import small
from benchmarks.work import Work

__all__ = ["command", "measure"]


def measure(settings: Settings) -> list[Table]:
    """The help, and one photo with each network."""
    tables = [
        compare(
            "gingham --help",
            baselines=[_spec("python -c pass", ["-c", "pass"])],
            candidates=[_spec("gingham --help", ["-m", "gingham", "--help"])],
            unit="seconds",
            settings=settings,
            memory=False,
        )
    ]
    for name in settings.networks:
        photo = small(1, settings.models, settings.photos)[0]
        model = str(plain(name, settings.models))
        candidates = [_spec("gingham predict, model as trained", _predict(model, photo))]
        for made in exports(name, settings.models, settings.say):
            if settings.quick and made.library != "openvino":
                continue
            spec = _spec(f"gingham predict, {made.name}", _predict(made.path, photo))
            candidates.append(replace(spec, absent=made.absent))
        tables.append(
            compare(
                f"{NAMES[name]}: one photo, with the start of the process",
                baselines=[_spec("plain script in PyTorch", ["-m", "benchmarks.plain", model, "{out}", photo])],
                candidates=candidates,
                unit="seconds",
                settings=settings,
                together=10,
                notes=["Files are in the system's cache, as at a second call."],
            )
        )
    return tables


def _predict(model: str, photo: str) -> list[str]:
    return ["-m", "gingham", "predict", model, photo, "--out", "{out}"]


def _spec(name: str, arguments: list[str]) -> Spec:
    return Spec(name, "benchmarks.startup:command", {"arguments": arguments})


def command(arguments: list[str]) -> Work:
    """A Python process from start to end; `{out}` becomes a file in a temporary folder."""
    folder = TemporaryDirectory()
    words = [word.replace("{out}", os.path.join(folder.name, "tags.csv")) for word in arguments]  # noqa: PTH118

    def call() -> int:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return 1

    return Work(call, close=folder.cleanup)

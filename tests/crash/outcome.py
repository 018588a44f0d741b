"""Whether two runs ended alike, bit for bit."""

import csv
import json
from pathlib import Path
from typing import Any

from gingham.storage import is_in_work, verify_manifest

_FILES = (
    "recipe.yaml",
    "metrics.json",
    "predictions-val.parquet",
    "curves.png",
    "report.html",
    "best/config.json",
    "best/README.md",
    "best/model.safetensors",
)
_CHECKPOINT_FILES = ("weights.safetensors", "optimizer.safetensors", "generators.safetensors")


def differences(undisturbed: Path, run: Path) -> list[str]:
    """What of a run differs from the undisturbed one, or was left behind; wall-clock columns are exempt."""
    found = [name for name in _FILES if _bytes(run / name) != _bytes(undisturbed / name)]
    if _history(run) != _history(undisturbed):
        found.append("history.csv")
    mine, other = _last_checkpoint(run), _last_checkpoint(undisturbed)
    if mine.name != other.name:
        found.append(f"last checkpoint {mine.name}")
    else:
        found += [name for name in _CHECKPOINT_FILES if _bytes(mine / name) != _bytes(other / name)]
        if _state(mine) != _state(other):
            found.append("state.json")
    verify_manifest(run / "best")
    for folder in (run, run.parent / "cache"):
        found += [f"left behind: {path.name}" for path in folder.rglob("*") if is_in_work(path)]
    return found


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def _last_checkpoint(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


def _history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def _state(checkpoint: Path) -> Any:
    verify_manifest(checkpoint)
    state = json.loads((checkpoint / "state.json").read_text())
    for row in [state, *state["history"]]:
        row.pop("seconds")
    return state

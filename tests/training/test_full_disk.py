import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.training.recipe import Recipe


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode
        == 0
    )


@pytest.mark.skipif(not _can_mount(), reason="needs the right to mount a small disk (root on Linux)")
def test_a_full_or_read_only_disk_costs_no_checkpoint(
    photos: Path, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    tiny("train.epochs=3", "train.max_steps=7").write(tmp_path / "recipe.yaml")
    script = Path(__file__).with_name("full_disk.py")
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, str(script), str(photos), str(tmp_path / "recipe.yaml"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    results = [line for line in done.stdout.splitlines() if line.startswith("result")]
    assert results == [
        "result Full 3 3 0 step-000000003 [] []",
        "result ReadOnly 3 3 0 step-000000003 [] []",
    ], done.stderr[-3000:]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 4, done.stderr
    for line in errors[:2]:
        assert "the disk is full; free some space" in line
    for line in errors[2:]:
        assert "the file system is read-only; choose another place" in line
    # The last call finds that the folder cannot be written before it looks at what is in it.
    assert all("the last checkpoint stands: then gingham train --resume --out" in line for line in errors[:3])

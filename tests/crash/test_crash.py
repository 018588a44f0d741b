"""The crash test in short; `make crash` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: the job is forked from a process that is warm")
def test_a_job_that_is_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Five SIGKILLs, two SIGTERMs and two Ctrl-C; and some of the steps of every save."""
    report = tmp_path / "report.json"
    arguments = ["--kills", "5", "--stops", "2", "--steps", "13", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", *arguments],
        cwd=_REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(report.read_text())
    sent = [
        name
        for job in found["jobs"]
        for name, hit in zip(job["signals"], job["hit"], strict=True)
        if hit != "done" and not job["faults"]
    ]
    assert {name: sent.count(name) for name in sent} == {"SIGKILL": 5, "SIGTERM": 2, "SIGINT": 2}
    assert len({hit for job in found["jobs"] for hit in job["hit"]}) >= 3, "phases"
    assert sum(count for *_, count in found["saves"]) > 60

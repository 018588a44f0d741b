"""What only a process of its own can show: signals, pipes, file size limits, and what is imported."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

# One thread: many would wait for each other on a busy machine.
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(arguments: Sequence[str | Path], **options: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "gingham", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    # Children of a job in a shell's background inherit that Ctrl-C is ignored.
    options = {"preexec_fn": functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)} | pipes
    return subprocess.Popen(command, text=True, env=_ENVIRONMENT, **options)  # type: ignore[call-overload,no-any-return]


def python(code: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        text=True,
        env=_ENVIRONMENT,
        capture_output=True,
        timeout=120,
    )


def test_ctrl_c_ends_predict_without_a_file(model: Path, wardrobe: Path, tmp_path: Path) -> None:
    many, out = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    out.mkdir()
    for number in range(5000):
        os.link(wardrobe / "img" / "00000.jpg", many / f"{number}.jpg")
    with start(["predict", model, many, "--out", out / "tags.csv", "--workers", "1"]) as process:
        while not list(out.iterdir()) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr
    assert list(out.iterdir()) == []


def test_outputs_that_do_not_fit_are_the_machines_fault(model: Path, wardrobe: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the write fails in the middle in the same way."""
    code = """
import resource, sys
from pathlib import Path
import torch
from gingham.cli.main import run
torch.set_num_threads(1)
model, data, out = map(Path, sys.argv[1:])
import gingham.inference.bulk, gingham.cli.labels, gingham.evaluation.tables  # before the limit: they may be compiled
calls = [["predict", model, data / "img", "--out", out / f"t.{ending}"] for ending in ("csv", "parquet", "jsonl")]
calls += [["evaluate", model, "--data", data, "--predictions", out / "p.parquet"]]
calls += [["evaluate", model, "--data", data, "--json", out / "m.json"]]
calls += [["submit", model, "--data", data, "--out", out / "s.zip"]]
calls += [["recipes", "copy", "laptop", out / "r.yaml"]]
calls += [["wardrobe", out / "w", "--count", "7"]]
resource.setrlimit(resource.RLIMIT_FSIZE, (60, resource.RLIM_INFINITY))
print([int(run([str(part) for part in call])) for call in calls], list(out.iterdir()), file=sys.stderr)
"""
    result = python(code, model, wardrobe, tmp_path)
    lines = result.stderr.splitlines()
    assert lines[-1] == "[3, 3, 3, 3, 3, 3, 3, 3] []", result.stderr
    assert sum("cannot be written: the file size limit is reached" in line for line in lines) == 8
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["cache", "info"], ["--help"], ["predict", "--help"]])
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(arguments, stdout=writing) as process:
        os.close(writing)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")


def test_a_closed_stdout_is_no_error() -> None:
    script = f"exec '{sys.executable}' -m gingham cache info >&-"
    result = subprocess.run(["sh", "-c", script], text=True, capture_output=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_the_machines_fault() -> None:
    with Path("/dev/full").open("w") as full, start(["cache", "info"], stdout=full) as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert stderr == "error: input/output: No space left on device\n"


def test_messages_that_nobody_reads_do_not_stop_the_work(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(["wardrobe", tmp_path / "w", "--count", "7"], stderr=writing) as process:
        os.close(writing)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(list((tmp_path / "w" / "img").iterdir())) == 7


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
import gingham
from gingham.cli.main import run
assert run(["--help"]) == run(["predict", "--help"]) == run(["train", "--help"]) == run(["info", "--help"]) == 0
assert run(["predcit"]) == 2
heavy = {"torch", "timm", "numpy", "pyarrow", "PIL", "rich", "pydantic", "yaml", "accelerate", "matplotlib"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    assert python(code).stderr.splitlines()[-1] == "[]"

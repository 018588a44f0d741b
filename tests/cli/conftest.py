import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from gingham.cli.main import run
from tests import tiny


class Result(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors: threads cost more than they bring, and collapse when the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's cache."""
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("GINGHAM_DEBUG", raising=False)


@pytest.fixture
def gingham(capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command line in this process: `gingham("info", "report")` -> code, stdout, stderr."""

    def call(*arguments: str | os.PathLike[str]) -> Result:
        capsys.readouterr()
        code = run([os.fspath(argument) for argument in arguments])
        return Result(int(code), *capsys.readouterr())

    return call


@pytest.fixture
def refused(gingham: Command) -> Callable[..., str]:
    """As `gingham`, for calls that are the user's mistake: exit code 2 and one line, which is returned."""

    def call(*arguments: str | os.PathLike[str], code: int = 2) -> str:
        result = gingham(*arguments)
        lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
        assert result.code == code, result
        assert result.out == ""
        assert len(lines) == 1, result.err
        assert "Traceback" not in result.err
        return lines[0]

    return call


@pytest.fixture(scope="session")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared_wardrobe(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared_bundle(tmp_path_factory.getbasetemp(), "image")


@pytest.fixture(scope="session")
def box_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared_bundle(tmp_path_factory.getbasetemp(), "box")

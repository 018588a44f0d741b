"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets, `$GINGHAM_SHARED` or `../shared` beside the repository; absent, the test skips."""
    folder = Path(os.environ.get("GINGHAM_SHARED", _REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, and {folder} is not there; set GINGHAM_SHARED")
    return folder

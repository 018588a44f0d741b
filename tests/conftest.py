"""Fixtures for all tests, and the rule that continuous integration skips nothing that it could run."""

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parent.parent
_COULD_NOT_RUN = "needs "
"""How the reason of an honest skip begins: it names what this machine lacks."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets, `$GINGHAM_SHARED` or `../shared` beside the repository; absent, the test skips."""
    folder = Path(os.environ.get("GINGHAM_SHARED", _REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, and {folder} is not there; set GINGHAM_SHARED")
    return folder


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """In CI, turn a skip into a failure unless its reason says what the machine lacks."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(_COULD_NOT_RUN):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where nothing that could run may be skipped: {reason}"

"""Fixtures that every room's tests may use."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real old models (SACCADE_CORPUS, by default ../shared); skips where it is absent."""
    shared = Path(os.environ.get("SACCADE_CORPUS", ROOT.parent / "shared"))
    if not (shared / "corpus" / "MANIFEST.tsv").is_file():
        pytest.skip(f"corpus of old models not found under {shared}; set SACCADE_CORPUS to run this test")
    return shared


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """The command line sets the level of saccade's loggers; the next test shall not notice."""
    logger = logging.getLogger("saccade")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where every part is said to be there (SACCADE_NO_SKIPS=1, as in CI) a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("SACCADE_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.startswith("Skipped: by choice: "):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped, and SACCADE_NO_SKIPS=1 allows none: {reason}"
    return report

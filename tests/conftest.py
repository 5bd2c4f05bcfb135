"""What tests share: one small generated cohort a test run."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from h2g.data.phantom import generate_cohort


@pytest.fixture(scope="session")
def phantom_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``cohort.csv`` of 6 slides of 2 mm at 1.0 um/px: 3 train, 1 val, 2 test. Read only.

    Levels of 2048 to 2304 and 1024 to 1152 pixels a side; made once, whatever the number of
    pytest-xdist workers.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own below this
    out = base / "phantom_cohort"
    with (base / "phantom_cohort.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "cohort.csv").exists():
            generate_cohort(out, slides=6, size_mm=2.0, mpp=1.0, seed=7, jobs=1)
    return out / "cohort.csv"

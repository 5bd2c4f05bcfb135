from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from h2g.benchmarking.child import run_child


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_a_child_takes() -> None:
    code = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
    child = run_child(python(code + "b = bytearray(80 << 20)\ntime.sleep(0.2)"), device="CPU")
    assert child.returncode == 0
    assert child.cpu_s >= 0.3
    assert child.wall_s >= child.cpu_s * 0.5 + 0.2
    assert child.peak_mib > 80


def test_when_a_line_was_heard() -> None:
    code = (
        "import sys, time\ntime.sleep(0.2)\nprint('x: it begins', file=sys.stderr, flush=True)\n"
        "time.sleep(0.4)"
    )
    child = run_child(python(code), device="CPU", listen_for=": it begins")
    assert child.heard_s is not None
    assert 0.2 <= child.heard_s <= child.wall_s - 0.3
    assert run_child(python("pass"), device="CPU", listen_for="begins").heard_s is None


def test_last_words_of_a_child_that_fails() -> None:
    child = run_child(python("raise ValueError('no abacus')"), device="CPU")
    assert child.returncode == 1
    assert child.last_words == "ValueError: no abacus"
    child = run_child(python("import os; os.abort()"), device="CPU")
    assert child.returncode == -signal.SIGABRT
    assert child.last_words


def test_gpus_are_hidden_from_a_row_of_the_cpu() -> None:
    code = "import os, sys; print(os.environ.get('CUDA_VISIBLE_DEVICES'), file=sys.stderr)"
    assert run_child(python(code), device="CPU").last_words == "-1"
    outside = str(os.environ.get("CUDA_VISIBLE_DEVICES"))
    assert run_child(python(code), device="GPU").last_words == outside


def test_ctrl_c_ends_the_child(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    child = (
        "import pathlib, time\n"
        f"for _ in range(1200): pathlib.Path({str(alive)!r}).write_text(''); time.sleep(0.05)"
    )
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    parent = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from h2g.benchmarking.child import run_child\n"
        f"run_child({python(child)!r}, device='CPU')"
    )
    with subprocess.Popen(python(parent), stderr=subprocess.DEVNULL) as process:
        while not alive.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    assert process.returncode == -signal.SIGINT
    alive.unlink()
    time.sleep(0.3)
    assert not alive.exists()

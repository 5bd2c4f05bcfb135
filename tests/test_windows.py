"""Every module can be imported where Python has what it has on Windows."""

import subprocess
import sys

from tests.test_imports import MODULES

# What Python lacks on Windows.
ONLY_UNIX = ("resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog")
ONLY_UNIX_IN_OS = ("wait4", "wait3", "fork", "sched_getaffinity", "geteuid", "getuid", "killpg")


def test_every_module_can_be_imported_on_windows() -> None:
    """All of them, with what is missing there hidden while our own code runs."""
    hidden = f"""
import os, signal, sys
import {", ".join(sorted({"keras", "tensorflow", "openvino", "onnxruntime"}))}  # for their own use
for name in {ONLY_UNIX_IN_OS!r}:
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "pthread_sigmask"):
    delattr(signal, name)
import h2g
class Hider:
    def find_spec(self, name, path=None, target=None):
        if name in {ONLY_UNIX!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
for name in {ONLY_UNIX!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hider())
"""
    modules = "\n".join(f"import {name}" for name in sorted(MODULES))
    result = subprocess.run(
        [sys.executable, "-c", hidden + modules], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-2000:]

"""What libraries print stays off the terminal; errors and our own progress do not."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from h2g.quiet import quiet


def test_nothing_is_printed_whichever_way(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        print("printed")
        os.write(1, b"compiled code, stdout\n")
        os.write(2, b"compiled code, stderr\n")
        warnings.warn("a warning", stacklevel=1)
        logging.getLogger("library").warning("logged")
    assert capfd.readouterr() == ("", "")


def test_pythons_own_stderr_goes_on_and_all_is_back_afterwards(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with quiet():
        print("our bar", file=sys.stderr)
    print("printed")
    print("told", file=sys.stderr)
    os.write(1, b"written\n")
    logging.getLogger("library").warning("logged")
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == ["printed", "written"]
    assert err.splitlines()[:2] == ["our bar", "told"]
    assert not logging.getLogger("library").manager.disable


def test_an_error_gets_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), quiet():
        1 / os.write(2, b"")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"

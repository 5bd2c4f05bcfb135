import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_keras_starts_silently():
    assert run("from h2g.models.startup import start_keras; start_keras()") == ""


def test_other_lines_are_handed_on_in_order():
    code = (
        "import os\nfrom h2g.quiet import without_chatter\n"
        "with without_chatter():\n"
        "    os.write(2, b'first\\nI0000 00:00:1795243601.6 1 port.cc:153] oneDNN\\nsecond\\n')\n"
        "os.write(2, b'third\\n')\n"
    )
    assert run(code) == "first\nsecond\nthird\n"

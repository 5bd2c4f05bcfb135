"""The h2g command, a group that imports a verb only when it is called."""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator

import click

from h2g import __version__
from h2g.errors import H2GError, MissingExtraError

# verb -> (its module below h2g.cli, one line for --help)
VERBS: dict[str, tuple[str, str]] = {
    "phantom": ("phantom", "Generate a cohort of slides with known truth."),
    "slide-info": ("slide_info", "Describe a slide and the source of its resolution."),
    "tissue": ("tissue", "Write tissue masks and previews."),
    "prepare": ("prepare", "Index the labelled patches of a cohort."),
    "cluster": ("cluster", "Find tissue types among the training patches."),
    "train": ("train", "Train all stages of a recipe; rerun to resume."),
    "evaluate": ("evaluate", "Score a run on a split."),
    "compare": ("compare", "Compare runs: the paper's tables, with statistics."),
    "ablation": ("ablation", "Train and compare the paper's nine designs on a cohort."),
    "export": ("export", "Write a run as ONNX, OpenVINO, TFLite or FAST pipelines."),
    "predict": ("predict", "Segment slides."),
    "benchmark": ("benchmark", "Time a model on a slide with every engine."),
    "parity": ("parity", "Compare engines and precisions with Keras on a slide."),
    "models": ("models", "List the networks with their parameter counts."),
    "recipes": ("recipes", "List the recipes, or print one."),
    "doctor": ("doctor", "Report which engines and devices work here."),
}
# Packages whose absence means a missing extra, not a bug.
EXTRA_OF_PACKAGE = {
    "tensorflow": "train",
    "keras": "train",
    "sklearn": "train",
    "scipy": "train",
    "statsmodels": "train",
    "matplotlib": "train",
    "onnx": "export",
    "tf2onnx": "export",
    "nncf": "export",
    "ai_edge_litert": "tflite",
    "tensorflow_io": "io",
}


class Verbs(click.Group):
    """A group that imports a verb's module when it is called, and prints failures as sentences.

    Exit codes: 2 for wrong use, 1 for a failure, 130 for Ctrl-C or SIGTERM.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"h2g.cli.{VERBS[cmd_name][0]}")
        return module.command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> object:
        _write_any_text()
        try:
            with _sigterm_as_interrupt():
                return super().invoke(ctx)
        except H2GError as error:
            click.echo(f"h2g: {error}", err=True)
            ctx.exit(error.exit_code)
        except ModuleNotFoundError as error:
            extra = EXTRA_OF_PACKAGE.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            missing = MissingExtraError(f"h2g {ctx.invoked_subcommand}", extra)
            click.echo(f"h2g: {missing}", err=True)
            ctx.exit(missing.exit_code)
        except OSError as error:
            sentence = _disk_sentence(error)
            if sentence is None:
                raise
            click.echo(f"h2g: {sentence}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("h2g: stopped; run the same command again to resume.", err=True)
            ctx.exit(130)


def _write_any_text() -> None:
    """Lets stdout and stderr escape what their encoding lacks, such as names that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Handles SIGTERM, which batch systems send, like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


def _disk_sentence(error: OSError) -> str | None:
    what = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
        errno.EFBIG: "the file is too large for this disk or its quota; write to another place",
        errno.EIO: "the disk or network reports an error; check it and run the command again",
        errno.ESTALE: "the network folder is gone; mount it again and run the command again",
        errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or use fewer workers",
        errno.ENAMETOOLONG: "the name is too long for this disk; rename the slide, or choose a "
        "shorter folder",
        errno.EROFS: "the disk is read-only; write to another place",
        errno.EACCES: "permission denied; choose a place that you may write to",
        errno.EPERM: "permission denied; choose a place that you may write to",
        errno.ENOENT: "no such file or folder, and it cannot be created here",
        errno.ENOTDIR: "part of this path is a file, not a folder",
        errno.EISDIR: "this is a folder, not a file",
        errno.EEXIST: "this already exists as a file; choose another place",
    }.get(error.errno or 0)
    return f"{error.filename or 'output'}: {what}." if what else None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="h2g")
def main() -> None:
    """Tumour segmentation in whole slide images, from annotated slides to FastPathology.

    \b
    A first run on generated slides:
      h2g phantom cohort
      h2g train cohort/cohort.csv --recipe demo --out run
      h2g evaluate run
      h2g predict run cohort/slides --out predictions
    """


def set_logging(*, verbose: bool, quiet: bool) -> None:
    """Sets which messages go to stderr: --verbose adds details, --quiet leaves only errors."""
    # TensorFlow reads this when a verb loads it later.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "3")
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("h2g").setLevel(level)

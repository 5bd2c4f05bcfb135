"""Errors that a user can act on: each message says what is wrong and what to do.

The command line prints these errors in one line and exits with ``exit_code``. Every other exception
is a bug and keeps its traceback.
"""


class H2GError(Exception):
    """Base of the errors that a user can act on, such as an unreadable file."""

    exit_code = 1


class WrongUseError(H2GError):
    """Wrong arguments, recipe, cohort table or run folder."""

    exit_code = 2


class SlideError(H2GError):
    """A slide that cannot be opened or read, or has no resolution."""


class AnnotationError(H2GError):
    """An annotation that cannot be read or used."""


class CohortError(WrongUseError):
    """A cohort table that cannot be used."""


class RecipeError(WrongUseError):
    """A recipe that does not exist or does not validate."""


class RunError(WrongUseError):
    """A run folder that is incomplete or belongs to another recipe."""


class TrainingError(H2GError):
    """Training that cannot continue."""


class ModelError(H2GError):
    """A model file or weights that cannot be loaded."""


class MissingExtraError(WrongUseError):
    """A command whose optional packages are not installed."""

    def __init__(self, verb: str, extra: str) -> None:
        super().__init__(
            f"'{verb}' needs packages that are not installed: pip install 'h2g[{extra}]'."
        )

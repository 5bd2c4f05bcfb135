"""What a user did, or has, that cannot work: said in a sentence that names the remedy.

The command line prints these as one line and exits with ``exit_code``; every other exception is
a bug and keeps its traceback.
"""


class H2GError(Exception):
    """A failure that a sentence explains: a file that cannot be read, a stage that cannot run."""

    exit_code = 1


class WrongUseError(H2GError):
    """Wrong arguments, recipe, cohort table or run folder."""

    exit_code = 2


class SlideError(H2GError):
    """A slide that cannot be opened or read, or has no resolution."""


class AnnotationError(H2GError):
    """An annotation that cannot be read or means nothing."""


class CohortError(WrongUseError):
    """A cohort table that cannot be used."""


class RecipeError(WrongUseError):
    """A recipe that does not exist or does not validate."""


class RunError(WrongUseError):
    """A run folder that lacks something or belongs to another recipe."""


class TrainingError(H2GError):
    """Training that cannot go on."""


class ModelError(H2GError):
    """A model file or weights that cannot be loaded."""


class MissingExtraError(WrongUseError):
    """A verb whose optional packages are not installed."""

    def __init__(self, verb: str, extra: str) -> None:
        super().__init__(
            f"'{verb}' needs packages that are not installed: pip install 'h2g[{extra}]'."
        )

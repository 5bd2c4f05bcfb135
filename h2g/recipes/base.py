"""The base class of a recipe's sections, and their types of numbers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


def without_null(values: Any) -> Any:
    """A mapping without its null entries, so that a recipe can remove entries that it inherits."""
    if not isinstance(values, dict):
        return values
    return {key: value for key, value in values.items() if value is not None}


# Options of a network's builder, by name.
Options = Annotated[dict[str, Any], BeforeValidator(without_null)]


class Frozen(BaseModel):
    """Settings that are checked once, never change, and reject unknown keys."""

    # The docstring of a field is its description in the JSON schema.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

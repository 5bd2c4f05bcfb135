"""The base of a recipe's sections, and the kinds of number in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Frozen(BaseModel):
    """Values that are checked once, never change, and refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

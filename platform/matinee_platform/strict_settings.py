"""What every part of the settings has in common: unknown names and loose types are refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class StrictSettings(BaseModel):
    """Settings that take their own names and types alone, and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


Share = Annotated[float, Field(ge=0.0, le=1.0, strict=False)]
"""A number in [0, 1]."""

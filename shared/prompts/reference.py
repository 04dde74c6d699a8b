"""Reference to a prompt, as bots and jobs name one."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.prompts.models import LABEL_PATTERN, MAX_VERSION, NAME_PATTERN
from shared.validation import refuse_value


class PromptReference(BaseModel):
    """A prompt by its name: the version of a label, or one version for good.

    Without either it is the version of `production` where there is one, else the latest.

    Attributes:
        name: The prompt's name.
        label: A label: the version that it points at then.
        version: A version, for good; not together with a label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: str = Field(pattern=NAME_PATTERN)
    label: str | None = Field(None, pattern=LABEL_PATTERN)
    version: int | None = Field(None, ge=1, le=MAX_VERSION)

    @model_validator(mode="after")
    def _name_one_version(self) -> Self:
        if self.label is not None and self.version is not None:
            raise refuse_value("at most one of label and version is named")
        return self

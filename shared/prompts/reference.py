"""Reference to a prompt, as bots and jobs name one, and the version that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.prompts.errors import PromptNotFoundError
from shared.prompts.models import LABEL_PATTERN, LATEST, MAX_VERSION, NAME_PATTERN, PRODUCTION
from shared.validation import refuse_value

if TYPE_CHECKING:
    from shared.prompts.stored_models import PromptSummary


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


def choose_version(head: PromptSummary) -> int:
    """Return the version of `production` where there is one, else the latest: for whoever names neither."""
    return find_version(head, PRODUCTION) or head.version


def find_version(head: PromptSummary, which: int | str | None) -> int | None:
    """Return the number of a version, by number, label or as the latest; None where there is none."""
    if which is None or which == LATEST:
        return head.version
    if isinstance(which, str):
        return head.labels.get(which)
    return which if which <= head.version else None


def require_version(head: PromptSummary, which: int | str | None) -> int:
    """Return the version's number that is meant: the latest, a number, or a label's.

    Raises:
        PromptNotFoundError: There is no such version or label.
    """
    number = find_version(head, which)
    if number is not None:
        return number
    if isinstance(which, str):
        raise PromptNotFoundError(head.name, label=which)
    raise PromptNotFoundError(head.name, which)

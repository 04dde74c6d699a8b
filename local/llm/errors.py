"""Refusals of the endpoint, in the two shapes of OpenAI and Azure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(eq=False)
class RefusedError(Exception):
    """A request that the API does not take.

    Attributes:
        message: What a person reads.
        param: The parameter at fault, as OpenAI writes it: `messages[0].role`.
        code: OpenAI's code of the error.
        status: The HTTP status.
        kind: OpenAI's type of the error.
        headers: What the answer carries beside its body.
        azure: The error as Azure writes it, where it does so in its own way.
    """

    message: str
    param: str | None = None
    code: str | None = None
    status: int = 400
    kind: str | None = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)
    azure: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return self.message

    def body(self, *, azure: bool) -> dict[str, Any]:
        """Render the error."""
        if azure and self.azure is not None:
            return {"error": dict(self.azure)}
        said = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": said}


def unsupported_here(what: str, param: str) -> RefusedError:
    """Say that a real model may take something that this one does not."""
    return RefusedError(f"The local model does not support {what}", param, "unsupported_parameter")

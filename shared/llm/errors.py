"""Errors of calls to models."""

from __future__ import annotations

from shared.errors import ValidationError


class PromptRefusedError(ValidationError):
    """The model does not take this prompt: its content filter refused it, or it is too long."""

"""Errors of reasoning jobs."""

from __future__ import annotations

from shared.errors import APIError


class UnfitAnswerError(APIError):
    """The model's answer to a step, and the one that it was asked for instead, are of no use."""

    status = 422

    def __init__(self, step: str, problem: str) -> None:
        super().__init__(f"The answer to step '{step}' {problem}", {"step": step, "problem": problem})

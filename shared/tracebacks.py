"""Release of the frames that a caught error holds, and of the request that stands in their variables.

An error keeps its traceback, a traceback its frames, a frame what its variables name. Whoever keeps a caught
error keeps the whole request, its body and its credential: in a variable of one of these frames, or in a
response, until the collector comes; in an error of pydantic-core, which it does not see into, for ever.
"""

from __future__ import annotations

import pydantic

MOST_PROBLEMS = 100
"""Problems of one model's error that are looked at: each is built anew for that."""


def release_frames(error: BaseException) -> None:
    """Take the tracebacks off an error that has been dealt with, and off all that led to it.

    Args:
        error: One that nobody will raise or log again.
    """
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += [led for led in (one.__cause__, one.__context__) if led is not None]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
        if isinstance(one, pydantic.ValidationError):
            left += raised_by_validators(one)


def raised_by_validators(error: pydantic.ValidationError) -> list[Exception]:
    """Return the errors of validators that are in a model's error, which holds each with its traceback."""
    if error.error_count() > MOST_PROBLEMS:
        return []
    problems = error.errors(include_url=False, include_input=False)
    raised = (problem.get("ctx", {}).get("error") for problem in problems)
    return [one for one in raised if isinstance(one, Exception)]

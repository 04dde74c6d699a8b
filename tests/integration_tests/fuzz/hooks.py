"""What schemathesis cannot know of the app's requests."""

from __future__ import annotations

import itertools
import re
from typing import Any

import schemathesis

_VALID_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?")
_numbers = itertools.count(1)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: Any, kwargs: Any) -> None:  # noqa: ANN401  # the hook's call
    """Change what no rule of the document can say.

    Each Idempotency-Key is made its own: the same one with another body is rightly a 422. And line breaks are
    left out of paths: the worker's web server answers those by itself, before the app is asked.
    """
    for name, value in (case.headers or {}).items():
        if name.lower() == "idempotency-key" and isinstance(value, str) and _VALID_KEY.fullmatch(value):
            case.headers[name] = f"{value}-{next(_numbers)}"
    for name, value in (case.path_parameters or {}).items():
        if isinstance(value, str) and "\n" in value:
            case.path_parameters[name] = value.replace("\n", "\t")

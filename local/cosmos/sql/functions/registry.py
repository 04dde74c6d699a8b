"""All built-in functions by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from local.cosmos.errors import unsupported
from local.cosmos.sql.functions.collections import COLLECTIONS
from local.cosmos.sql.functions.dates import DATES
from local.cosmos.sql.functions.mathematics import MATHEMATICS
from local.cosmos.sql.functions.strings import STRINGS
from local.cosmos.sql.parser import syntax_error

if TYPE_CHECKING:
    from local.cosmos.sql.functions.signature import Function

FUNCTIONS: Final[dict[str, Function]] = {**MATHEMATICS, **STRINGS, **COLLECTIONS, **DATES}

_KNOWN_ELSEWHERE: Final = re.compile(r"ST_\w+|VECTORDISTANCE|FULLTEXT\w+|RRF|DOCUMENTID|MAKELIST|MAKESET")
"""What the service has and this endpoint has not."""


def find(name: str, arguments: int) -> Function:
    """Look a function up for a call with so many arguments.

    Raises:
        CosmosError: 400 for a name that does not exist, that the service has and this endpoint has not, or a
            call with the wrong
            number of arguments.
    """
    if _KNOWN_ELSEWHERE.fullmatch(name):
        raise unsupported(f"The function {name}")
    function = FUNCTIONS.get(name)
    if function is None:
        raise syntax_error(f"'{name}' is not a recognized built-in function name.", 0, 0, "SC2005")
    if not function.takes(arguments):
        raise syntax_error(f"The {name} function does not take {arguments} argument(s).", 0, 0, "SC2050")
    return function

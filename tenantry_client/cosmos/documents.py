"""Names of consistency levels and of conditions, as azure-cosmos and azure-core have them."""

from __future__ import annotations

from enum import Enum
from typing import Final


class ConsistencyLevel:
    """Levels of how recent a read has to be; the account's own level where none is asked for."""

    Strong: Final = "Strong"
    BoundedStaleness: Final = "BoundedStaleness"
    Session: Final = "Session"
    Eventual: Final = "Eventual"
    ConsistentPrefix: Final = "ConsistentPrefix"


class MatchConditions(Enum):
    """Conditions on an item's state; azure-core's class of this name is taken as well."""

    Unconditionally = 1
    IfNotModified = 2
    IfModified = 3
    IfPresent = 4
    IfMissing = 5

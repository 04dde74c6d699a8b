"""Tenant settings of the token ledger."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictStr, TypeAdapter

from shared.tenancy.settings import About, choice, document
from shared.validation import text_pattern

_APP_PATTERN = text_pattern(
    r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,127}|\*)$",
    "1 to 128 letters, digits and . _ : -, beginning with a letter or digit, or *",
)


class OnStoreFailure(StrEnum):
    """Decision over calls to models while the token ledger's store is down."""

    CLOSED = "closed"
    OPEN = "open"


TOKENS_ON_STORE_FAILURE = choice(
    About(
        key="tokens.on_store_failure",
        label="While the token ledger is down",
        description="closed: no call is admitted. open: calls are admitted, and counted by their reports.",
    ),
    default=OnStoreFailure.CLOSED,
)

type _AppShare = Annotated[float, Field(gt=0, le=1)]
type _AppName = Annotated[StrictStr, Field(pattern=_APP_PATTERN)]

TOKENS_APP_SHARES = document(
    About(
        key="tokens.app_shares",
        label="Shares of applications",
        description="The part of the tenant's tokens and requests per minute that each application may use, "
        "above 0 and at most 1. Where any is set, all applications that are not named share that of '*'.",
    ),
    TypeAdapter(Annotated[dict[_AppName, _AppShare], Field(max_length=100)]),
    default={},
)

"""Scopes: whether the tenant's own or the global ones are meant."""

from __future__ import annotations

from shared.http.models import QueryModel
from shared.tenancy.source import Source


class ReadScope(QueryModel):
    """Scope to read from.

    Attributes:
        scope: `tenant` or `global`; without it, the tenant's own and else the global one.
    """

    scope: Source | None = None


class WriteScope(QueryModel):
    """Scope to write to.

    Attributes:
        scope: `tenant` for the tenant's own; `global` is the administrator's.
    """

    scope: Source = Source.TENANT

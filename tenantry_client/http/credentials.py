"""Credentials of calls to a deployment: a key of the environment, or a token of Azure AD."""

from __future__ import annotations

import math
import os
import time
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tenantry_client.errors import CredentialError, MissingExtraError, MissingKeyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import ModuleType

    from azure.core.credentials_async import AsyncTokenCredential

_REFRESH_SECONDS = 300
"""A token that ends within this time is renewed before it is used."""


class FixedKey:
    """An API key.

    Args:
        key: The key; `Bearer ` before it is left out.

    Raises:
        MissingKeyError: It is empty, or holds what no header can.
    """

    def __init__(self, key: str) -> None:
        self._header = f"Bearer {clean_key(key)}"

    async def authorization(self) -> str:
        """Return the `Authorization` header."""
        return self._header


class EnvironmentKey:
    """An API key of the environment, read with each request.

    Args:
        names: The variables that may hold it, in their order.
    """

    def __init__(self, *names: str) -> None:
        self._names = names

    async def authorization(self) -> str:
        """Return the `Authorization` header.

        Raises:
            MissingKeyError: No variable is set, or what it holds is no key.
        """
        for name in self._names:
            if os.environ.get(name):
                return f"Bearer {clean_key(os.environ[name])}"
        raise MissingKeyError(f"No API key: set {' or '.join(self._names)}")


class AzureAdToken:
    """Tokens of Azure AD for one resource, kept until they are about to end. Needs the extra `azure`.

    Args:
        resource_uri: The application that tokens are issued for.
        credential: Where tokens come from; `DefaultAzureCredential` where None, closed after each use.
        now: The wall clock, in seconds, that tells whether a token is about to end.
    """

    def __init__(
        self,
        resource_uri: str,
        credential: AsyncTokenCredential | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._scope = f"{resource_uri.rstrip('/')}/.default"
        self._credential = credential
        self._now = now
        self._token = ""
        self._ends_at = -math.inf

    async def authorization(self) -> str:
        """Return the `Authorization` header.

        Raises:
            CredentialError: Azure AD issues no token to this program.
            MissingExtraError: The package was installed without its extra `azure`.
            ConnectionError: It does not answer.
        """
        if self._ends_at - self._now() < _REFRESH_SECONDS:
            await self._renew()
        return f"Bearer {self._token}"

    async def _renew(self) -> None:
        exceptions = _import_azure()
        failure: Exception
        try:
            async with self._opened() as credential:
                token = await credential.get_token(self._scope)
        except exceptions.ClientAuthenticationError:
            failure = CredentialError("Azure AD issues no token for this deployment")
        except exceptions.AzureError as error:
            failure = ConnectionError(f"Azure AD does not answer: {type(error).__name__}")
        else:
            self._token, self._ends_at = token.token, token.expires_on
            return
        raise failure

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AsyncTokenCredential]:
        if self._credential is not None:
            yield self._credential
            return
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415  # an extra

        async with DefaultAzureCredential() as credential:
            yield credential


def _import_azure() -> ModuleType:
    """Return the module of Azure's errors."""
    if find_spec("azure") is None or find_spec("azure.identity") is None:
        raise MissingExtraError("Azure AD needs more: pip install 'tenantry-client[azure]'")
    from azure.core import exceptions  # noqa: PLC0415  # an extra

    return exceptions


def clean_key(text: str) -> str:
    """Return a key without what people copy along: `Bearer ` and blanks around it.

    Raises:
        MissingKeyError: Nothing is left, or it holds what no header can.
    """
    key = text.strip()
    scheme, _, rest = key.partition(" ")
    if scheme.casefold() == "bearer":
        key = rest.strip()
    if not key:
        raise MissingKeyError("The API key is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise MissingKeyError("The API key holds characters that no key has")
    return key

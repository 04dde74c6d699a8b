"""Client of an account behind both of its faces: its settings, and the containers that it knows."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from tenantry_client.cosmos.container_operations import ContainerState
from tenantry_client.cosmos.gateway import AccountSettings, Gateway, RetryRules
from tenantry_client.cosmos.hedging import read_rules
from tenantry_client.cosmos.request_options import (
    HEDGING_NEEDS_ASYNCIO,
    MINIMAL,
    Compiled,
    OptionCompiler,
    header_line,
)
from tenantry_client.cosmos.request_signing import EntraTokenSigner, MasterKeySigner, ResourceTokenSigner
from tenantry_client.cosmos.transport import Deadlines, Place

if TYPE_CHECKING:
    import ssl

    from tenantry_client.cosmos.answers import ResponseHeaders
    from tenantry_client.cosmos.hedging import HedgingRules, Race
    from tenantry_client.cosmos.request_signing import Signer
    from tenantry_client.cosmos.transport import Transport

MAX_CONNECTIONS: Final = 100
_MOST_CONTAINERS: Final = 1000


class ClientOptions(TypedDict, total=False):
    """Keywords of a client, by azure-cosmos's names where it has them.

    Attributes:
        consistency_level: The level of reads, where it is not the account's.
        preferred_locations: Regions that are asked first.
        excluded_locations: Regions that are not asked, where a call does not name its own.
        multiple_write_locations: Whether writes may go to them, too.
        availability_strategy: Whether reads are hedged, as at `RequestOptions`; for asyncio alone.
        availability_strategy_max_concurrency: The most regions that a hedged read asks at a time.
        enable_endpoint_discovery: Whether regions of the account's document are asked at all.
        timeout: Seconds for each operation, its retries included, where a call does not name its own.
        connection_timeout: Seconds for a connection.
        read_timeout: Seconds for an answer.
        retry_total: Attempts after the first one, where the next three do not say.
        retry_throttle_total: After a 429; 0 is none.
        retry_connect: Where no connection could be had.
        retry_read: Where the answer to a read was lost.
        retry_write: Where the answer to a write was lost, or was a 408 or a 5xx; a patch says so itself.
        retry_throttle_backoff_max: The most seconds that are waited for 429s in one operation.
        retry_backoff_max: Its older name.
        retry_fixed_interval: Milliseconds to wait after a 429, instead of what the service names.
        connection_verify: A file of authorities, a context of `ssl`; or False, which trusts any server.
        user_agent_suffix: Added to the user agent.
        enable_compact_utf8_item_writes: Taken for azure-cosmos's sake: bodies are UTF-8 in any case.
        no_response_on_write: Whether writes leave the item out of the answer.
        throughput_bucket: The share of the throughput that all requests count against.
        priority: Of all requests.
        max_connections: The most connections to a region; azure-cosmos has no such keyword.
    """

    consistency_level: str | None
    preferred_locations: Sequence[str]
    excluded_locations: Sequence[str] | None
    multiple_write_locations: bool
    availability_strategy: bool | Mapping[str, Any]
    availability_strategy_max_concurrency: int | None
    enable_endpoint_discovery: bool
    timeout: float | None
    connection_timeout: float
    read_timeout: float
    retry_total: int
    retry_throttle_total: int
    retry_connect: int
    retry_read: int
    retry_write: int
    retry_throttle_backoff_max: float
    retry_backoff_max: float
    retry_fixed_interval: int | None
    connection_verify: bool | str | ssl.SSLContext
    user_agent_suffix: str
    enable_compact_utf8_item_writes: bool
    no_response_on_write: bool
    throughput_bucket: int | None
    priority: Literal["High", "Low"] | None
    max_connections: int


class ClientCore:
    """A client apart from how it is called.

    Args:
        url: The account's address.
        credential: Its key, resource tokens by what they are for, or a credential of azure-identity.
        options: The caller's keywords.
        transport: Carries the requests.
        race: Asks several regions at once, for hedged reads; None where that cannot be done.

    Attributes:
        delegated: How often azure-cosmos was asked in this client's place, by the name of the method.

    Raises:
        TypeError: A keyword or a credential of no kind that there is.
    """

    def __init__(
        self,
        url: str,
        credential: Any,  # noqa: ANN401 - see above
        options: Mapping[str, Any],
        transport: Transport,
        race: Race | None = None,
    ) -> None:
        unknown = options.keys() - ClientOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"there is no keyword {min(unknown)!r} of a client here")
        self.url = url
        self.credential = credential
        self.options = options
        self.transport = transport
        deadlines = Deadlines(
            float(options.get("connection_timeout", Deadlines().connect)),
            float(options.get("read_timeout", Deadlines().read)),
        )
        settings = AccountSettings(
            Place.parse(url),
            deadlines,
            _retries(options),
            options.get("consistency_level"),
            tuple(options.get("preferred_locations", ())),
            bool(options.get("multiple_write_locations", False)),
            _headers(options),
            str(options.get("user_agent_suffix", "")),
        )
        excluded = frozenset(options.get("excluded_locations") or ())
        hedging = _hedging(options, may_hedge=race is not None)
        self.compiler = OptionCompiler(
            Compiled("", deadlines, excluded=excluded, hedging=hedging),
            Compiled(
                MINIMAL if options.get("no_response_on_write") else "",
                deadlines,
                excluded=excluded,
                lost_writes=int(options.get("retry_write", 0)),
            ),
            timeout=options.get("timeout"),
            may_hedge=race is not None,
        )
        self.delegated: Counter[str] = Counter()
        self.gateway = Gateway(settings, _signer(credential, url, transport), transport, race)
        self._containers: dict[tuple[str, str], ContainerState] = {}
        self._lock = threading.Lock()

    @property
    def url_connection(self) -> str:
        """The account's address, by azure-cosmos's name."""
        return self.url

    @property
    def last_response_headers(self) -> ResponseHeaders:
        """Headers of the answer that came last, to whichever request."""
        return self.gateway.last_response_headers

    def container(self, database_id: str, container_id: str) -> ContainerState:
        """Return what this client knows of a container; the oldest of very many are forgotten."""
        name = (database_id, container_id)
        state = self._containers.get(name)
        if state is None:
            with self._lock:  # of two threads, both get the same one
                if len(self._containers) >= _MOST_CONTAINERS:
                    del self._containers[next(iter(self._containers))]
                made = ContainerState(self.gateway, self.compiler, database_id, container_id)
                state = self._containers.setdefault(name, made)
        return state


def parse_connection_string(text: str) -> tuple[str, str]:
    """Return the address and the key of a connection string.

    Raises:
        ValueError: One of them is missing.
    """
    parts = dict(part.partition("=")[::2] for part in text.rstrip(";").split(";"))
    try:
        return parts["AccountEndpoint"], parts["AccountKey"]
    except KeyError as error:
        raise ValueError(f"Connection string missing setting {error}.") from None


def _retries(options: Mapping[str, Any]) -> RetryRules:
    usual = RetryRules()
    total = options.get("retry_total")
    wait = options.get("retry_fixed_interval")

    def attempts(name: str, default: int) -> int:
        return max(int(options.get(name, default if total is None else total)), 0)

    return RetryRules(
        attempts("retry_throttle_total", usual.throttled),
        float(
            options.get(
                "retry_throttle_backoff_max", options.get("retry_backoff_max", usual.throttled_seconds)
            )
        ),
        None if wait is None else wait / 1000,
        attempts("retry_connect", usual.connect),
        attempts("retry_read", usual.read),
        elsewhere=bool(options.get("enable_endpoint_discovery", True)),
    )


def _hedging(options: Mapping[str, Any], *, may_hedge: bool) -> HedgingRules | None:
    given = options.get("availability_strategy", False)
    if given and not may_hedge:
        raise TypeError(HEDGING_NEEDS_ASYNCIO)
    rules = read_rules(given)
    return rules and replace(rules, at_once=options.get("availability_strategy_max_concurrency"))


def _headers(options: Mapping[str, Any]) -> str:
    bucket, priority = options.get("throughput_bucket"), options.get("priority")
    lines = "" if bucket is None else header_line("x-ms-cosmos-throughput-bucket", bucket)
    return lines + ("" if priority is None else header_line("x-ms-cosmos-priority-level", priority))


def _signer(credential: Any, url: str, transport: Transport) -> Signer:  # noqa: ANN401 - whatever the caller or the service has
    if isinstance(credential, str):
        return MasterKeySigner(credential)
    if isinstance(credential, Mapping):
        if "masterKey" in credential:
            return MasterKeySigner(credential["masterKey"])
        return ResourceTokenSigner({str(link): str(token) for link, token in credential.items()})
    if hasattr(credential, "get_token"):
        return EntraTokenSigner(credential, url, transport)
    if isinstance(credential, Sequence):
        return ResourceTokenSigner({str(one["resource"]): str(one["_token"]) for one in credential})
    raise TypeError(
        "Unrecognized credential type. Please supply the master key as a string or a dictionary, or resource "
        "tokens, or a list of permissions, or a credential of azure-identity."
    )

"""Requests to an account: signed, sent to a region, answered, and sent again where that is safe."""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from tenantry_client.cosmos.answers import FIRST_FAILURE, Answer, ResponseHeaders, error_of
from tenantry_client.cosmos.exceptions import (
    CosmosClientTimeoutError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseError,
)
from tenantry_client.cosmos.regions import Account, alone
from tenantry_client.cosmos.request_options import Compiled, header_line
from tenantry_client.cosmos.transport import AnswerLostError, NotSentError, Place
from tenantry_client.version import VERSION

if TYPE_CHECKING:
    from tenantry_client.cosmos.hedging import HedgingRules, Race
    from tenantry_client.cosmos.request_signing import Signer
    from tenantry_client.cosmos.transport import Deadlines, Transport

API_VERSION: Final = "2020-07-15"
_SESSION: Final = "Session"
_TOO_MANY_REQUESTS: Final = 429
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_WRITE_FORBIDDEN: Final = 3
_NO_ACCOUNT_THERE: Final = 1008
_SESSION_NOT_THERE: Final = 1002
_TIMED_OUT: Final = 408
_FIRST_SERVER_FAILURE: Final = 500
_FIRST_REDIRECTION: Final = 300
_NOT_CHANGED: Final = 304
_ELSEWHERE_FOR_READS: Final = frozenset({408, 500, 503})
_MOST_REGIONS: Final = 10
_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 2.0


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Attempts after the first one, by azure-cosmos's numbers.

    Attributes:
        throttled: After a 429, by the time that the service names.
        throttled_seconds: The most that is waited for 429s in one operation.
        throttled_wait: Seconds to wait instead of what the service names.
        connect: Where no connection could be had.
        read: Where the answer to a read was lost.
        elsewhere: Whether other regions are asked.
    """

    throttled: int = 9
    throttled_seconds: float = 30.0
    throttled_wait: float | None = None
    connect: int = 3
    read: int = 3
    elsewhere: bool = True


NO_RETRIES: Final = RetryRules(0, 0.0, None, 0, 0, elsewhere=False)
"""Each attempt is the caller's own: for programs that have one place where they retry."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """The account that is asked, and how.

    Attributes:
        place: Its address.
        deadlines: For the account's own document.
        retries: Attempts after the first one.
        consistency: The level that is asked for; None for the account's.
        preferred: Regions that are asked first.
        multiple_writes: Whether writes may go to them, too.
        headers: Lines of headers that each request has.
        user_agent: Added to the client's own name.
    """

    place: Place
    deadlines: Deadlines
    retries: RetryRules = RetryRules()
    consistency: str | None = None
    preferred: tuple[str, ...] = ()
    multiple_writes: bool = False
    headers: str = ""
    user_agent: str = ""


class Request:
    """One request, apart from where it goes.

    Attributes:
        method: The HTTP method.
        path: The path, encoded.
        kind: The type of the resource.
        link: The resource as it is signed.
        head: Lines of headers.
        body: The body; None for none.
        reads: Whether it changes nothing.
        options: What its caller asked for.
    """

    __slots__ = ("body", "head", "kind", "link", "method", "options", "path", "reads")

    def __init__(  # noqa: PLR0913, PLR0917 - built on the hottest path: a plain object
        self,
        method: str,
        path: str,
        kind: str,
        link: str,
        head: str,
        body: bytes | None,
        options: Compiled,
        *,
        reads: bool,
    ) -> None:
        self.method = method
        self.path = path
        self.kind = kind
        self.link = link
        self.head = head
        self.body = body
        self.reads = reads
        self.options = options


@dataclass(slots=True)
class _Attempts:
    """Tally of one operation's failures, and the regions that it may not go to."""

    excluded: frozenset[str]
    throttled: int = 0
    waited: float = 0.0
    connect: int = 0
    lost: int = 0
    regions: int = 0
    behind: list[Place] = field(default_factory=list)


class Gateway:
    """The account behind a client.

    Args:
        settings: Which account, and how.
        signer: Signs requests.
        transport: Carries them.
        race: Asks several regions at once, for hedged reads; None where that cannot be done.
    """

    def __init__(
        self, settings: AccountSettings, signer: Signer, transport: Transport, race: Race | None = None
    ) -> None:
        self.settings = settings
        self.transport = transport
        self.last_answer: Answer | None = None
        self.account: Account | None = None
        self._signer = signer
        self._race = race
        self._lock = transport.new_lock()
        self._common = self._common_but_level = ""
        self._ids = count()
        self._id_prefix = str(uuid.uuid4())[:24]
        self._echoing: set[Place] = set()

    @property
    def last_response_headers(self) -> ResponseHeaders:
        """The headers of the answer that came last, to whichever request."""
        return ResponseHeaders() if self.last_answer is None else self.last_answer.headers

    @property
    def is_session(self) -> bool:
        """Whether reads carry the state that they have to be at least as new as."""
        return self.account is not None and self.account.consistency == _SESSION

    async def open(self, end: float | None = None) -> Account:
        """Return the account; its document is read once.

        Args:
            end: When that has to be done, by the monotonic clock; None for whenever.
        """
        account = self.account
        if account is None:
            async with self._lock.held(end):
                account = self.account or await self.refresh(end)
        return account

    async def refresh(self, end: float | None = None) -> Account:
        """Read the account's document anew.

        Raises:
            DecodeError: What came is none.
        """
        settings = self.settings
        self._common = self._common or self._common_headers(settings.consistency)
        from_there = _account_request(settings, end)
        failed = None if self.account is None else self.account.failed
        answer = await self._send(alone(settings.place, ""), from_there)
        if answer.status >= FIRST_FAILURE:
            raise error_of(answer)
        try:
            account = Account.parse(
                answer.json() or {}, settings.preferred, multiple_writes=settings.multiple_writes
            )
        except ValueError as error:
            raise DecodeError(str(error), error=error) from error
        account.failed.update(failed or {})
        account.consistency = settings.consistency or account.consistency
        self._common = self._common_headers(
            _SESSION if account.consistency == _SESSION else settings.consistency
        )
        self._common_but_level = self._common_headers(None)
        self.account = account if settings.retries.elsewhere else alone(settings.place, account.consistency)
        return self.account

    async def send(self, request: Request) -> Answer:
        """Send a request; return its answer, whatever it says.

        Raises:
            ServiceRequestError: It could not be sent.
            ServiceResponseError: The answer was lost.
            CosmosClientTimeoutError: The operation's time is over.
        """
        options = request.options
        account = self.account or await self.open(options.end)
        if options.hedging is None or not request.reads or request.kind != "docs":
            answer = await self._send(account, request, options.excluded)
        else:
            answer = await self._send_hedged(account, request, options.hedging)
        self.last_answer = answer
        return answer

    async def _send_hedged(self, account: Account, request: Request, rules: HedgingRules) -> Answer:
        """Ask the first region with all its retries; while it is late, one further region after another."""
        excluded = request.options.excluded
        names = account.names(excluded=excluded)
        if len(names) == 1 or self._race is None:
            return await self._send(account, request, excluded)
        everywhere = frozenset(names)
        only_there = [excluded | (everywhere - {name}) for name in names[1:]]
        arms = [partial(self._send, account, request, without) for without in (excluded, *only_there)]
        return await self._race(arms, rules)

    async def _send(
        self, account: Account, request: Request, excluded: frozenset[str] = frozenset()
    ) -> Answer:
        attempts = _Attempts(excluded)
        places = account.order(reads=request.reads, excluded=excluded)
        while True:
            place = places[0]
            try:
                answer = await self._attempt(place, request)
            except NotSentError as error:
                if not await self._may_reconnect(account, place, attempts, request):
                    raise ServiceRequestError(str(error), error=error) from error
            except AnswerLostError as error:
                if not await self._may_ask_again(account, place, attempts, request):
                    raise ServiceResponseError(str(error), error=error) from error
            else:
                if answer.status < FIRST_FAILURE or not await self._may_cure(
                    account, place, attempts, (request, answer)
                ):
                    return answer
            account = self.account or account
            places = account.order(reads=request.reads, excluded=excluded)
            if attempts.behind:
                places = _ahead_of(account, request, attempts) or places

    async def _attempt(self, place: Place, request: Request) -> Answer:
        options = request.options
        deadlines = options.deadlines
        if options.end is not None:
            left = options.end - time.monotonic()
            if left <= 0:
                raise CosmosClientTimeoutError
            deadlines = replace(
                deadlines, connect=min(deadlines.connect, left), read=min(deadlines.read, left)
            )
        activity = f"{self._id_prefix}{next(self._ids):012x}"
        signed = await self._signer.sign(request.method.lower(), request.kind, request.link)
        body = request.body
        length = "" if body is None else f"content-length: {len(body)}\r\n"
        if body is None and request.method != "GET":
            length = "content-length: 0\r\n"
        common = self._common
        if options.consistency is not None:
            common = f"{self._common_but_level}x-ms-consistency-level: {options.consistency}\r\n"
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nhost: {place.authority}\r\n{common}"
            f"{request.head}{options.head}{signed}x-ms-activity-id: {activity}\r\n{length}\r\n"
        ).encode("latin-1")  # what the service had said is sent back as it was
        try:
            answer = await self.transport.exchange(place, head if body is None else head + body, deadlines)
        except (NotSentError, AnswerLostError) as error:
            if options.end is not None and options.end <= time.monotonic():
                raise CosmosClientTimeoutError(error=error) from error
            raise
        self._check_activity(place, activity.encode(), answer)
        if _FIRST_REDIRECTION <= answer.status < FIRST_FAILURE and answer.status != _NOT_CHANGED:
            raise AnswerLostError(f"a redirection ({answer.status}), which is not the service's")
        return answer

    def _check_activity(self, place: Place, sent: bytes, answer: Answer) -> None:
        """Refuse the answer to another request: the service echoes the id of each, once it has done so."""
        echoed = answer.raw_headers.get(b"x-ms-activity-id")
        if echoed == sent:
            self._echoing.add(place)
        elif place in self._echoing and (echoed is not None or answer.status < FIRST_FAILURE):
            raise AnswerLostError("the answer belongs to another request")

    async def _may_reconnect(
        self, account: Account, place: Place, attempts: _Attempts, request: Request
    ) -> bool:
        attempts.connect += 1
        if attempts.connect > self.settings.retries.connect:
            return False
        account.fail(place)
        if len(account.order(reads=request.reads, excluded=attempts.excluded)) == 1:
            await self._pause(attempts.connect, request)
        elif not request.reads:
            await self._refresh_quietly(request)
        return True

    async def _may_ask_again(
        self, account: Account, place: Place, attempts: _Attempts, request: Request
    ) -> bool:
        attempts.lost += 1
        allowed = self.settings.retries.read if request.reads else request.options.lost_writes
        if attempts.lost > allowed:
            return False
        account.fail(place)
        await self._pause(attempts.lost, request)
        return True

    async def _may_cure(
        self, account: Account, place: Place, attempts: _Attempts, asked: tuple[Request, Answer]
    ) -> bool:
        """Tell whether the answer may be another one the next time, and wait for that time."""
        request, answer = asked
        status = answer.status
        if status == _TOO_MANY_REQUESTS:
            return await self._wait_out(answer, attempts, request)
        if not request.reads and _may_have_been_done(status):
            return await self._may_ask_again(account, place, attempts, request)
        return self.settings.retries.elsewhere and await self._may_help_elsewhere(
            account, place, attempts, asked
        )

    async def _may_help_elsewhere(
        self, account: Account, place: Place, attempts: _Attempts, asked: tuple[Request, Answer]
    ) -> bool:
        """Tell whether another region may answer otherwise."""
        request, answer = asked
        status, finer = answer.status, answer.sub_status
        if status == _FORBIDDEN and finer in {_WRITE_FORBIDDEN, _NO_ACCOUNT_THERE}:
            account.fail(place)
            await self._refresh_quietly(request)
            return await self._in_another_region(attempts, request)
        if status == _NOT_FOUND and finer == _SESSION_NOT_THERE:
            attempts.behind.append(place)
            return bool(_ahead_of(account, request, attempts))
        if status not in _ELSEWHERE_FOR_READS or not request.reads:
            return False
        regions = account.order(reads=True, excluded=attempts.excluded)
        account.fail(place)
        return attempts.regions + 1 < len(regions) and await self._in_another_region(attempts, request)

    async def _in_another_region(self, attempts: _Attempts, request: Request) -> bool:
        attempts.regions += 1
        if attempts.regions > _MOST_REGIONS:
            return False
        await self._pause(attempts.regions, request)
        return True

    async def _wait_out(self, answer: Answer, attempts: _Attempts, request: Request) -> bool:
        rules = self.settings.retries
        attempts.throttled += 1
        if attempts.throttled > rules.throttled or attempts.waited >= rules.throttled_seconds:
            return False
        wait = rules.throttled_wait
        if wait is None:
            named = answer.raw_headers.get(b"x-ms-retry-after-ms", b"0")
            wait = float(named) / 1000 if named.replace(b".", b"", 1).isdigit() else 0.0
        wait = min(wait, rules.throttled_seconds)
        attempts.waited += wait
        await self._sleep(wait, request)
        return True

    async def _pause(self, attempt: int, request: Request) -> None:
        longest = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
        await self._sleep(random.uniform(longest / 2, longest), request)  # noqa: S311 - jitter

    async def _sleep(self, seconds: float, request: Request) -> None:
        """Wait, but no longer than the operation may take: the next attempt then tells that it is over."""
        end = request.options.end
        if end is not None:
            seconds = min(seconds, max(end - time.monotonic(), 0.0))
        await self.transport.sleep(seconds)

    async def _refresh_quietly(self, request: Request) -> None:
        """Look for other regions; where that fails, those that are known have to do."""
        try:
            await self.refresh(request.options.end)
        except (ServiceRequestError, ServiceResponseError, DecodeError):
            return

    def _common_headers(self, consistency: str | None) -> str:
        agent = f"tenantry-client-cosmos/{VERSION} {self.settings.user_agent}".strip()
        return (
            "accept: application/json\r\ncache-control: no-cache\r\n"
            f"{header_line('user-agent', agent)}x-ms-version: {API_VERSION}\r\n"
            "x-ms-cosmos-sdk-supportedcapabilities: 1\r\n"
            "x-ms-documentdb-query-iscontinuationexpected: False\r\n"
            f"{'' if consistency is None else header_line('x-ms-consistency-level', consistency)}"
            f"{self.settings.headers}"
        )


def _account_request(settings: AccountSettings, end: float | None) -> Request:
    return Request("GET", "/", "", "", "", None, Compiled("", settings.deadlines, end=end), reads=True)


def _may_have_been_done(status: int) -> bool:
    """Tell whether the service may have done what it says that it failed at."""
    return status == _TIMED_OUT or status >= _FIRST_SERVER_FAILURE


def _ahead_of(account: Account, request: Request, attempts: _Attempts) -> list[Place]:
    """Return where a request may go that some regions are behind for: where writes are, or any other one."""
    if not account.writes_everywhere:
        return account.order(reads=False, excluded=attempts.excluded) if len(attempts.behind) == 1 else []
    regions = account.order(reads=request.reads, excluded=attempts.excluded)
    return [place for place in regions if place not in attempts.behind]

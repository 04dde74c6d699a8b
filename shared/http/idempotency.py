"""One effect per Idempotency-Key, however often and on however many instances a request is repeated.

claim -> in work -> completed with the stored answer. A claim is an item of the store: whoever creates it runs
the request; everybody else is told to wait, or is given the stored answer. A claim whose holder died is taken
over when its lease has ended. The lease is longer than any request may run, so that no two run at once.
"""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from shared.cosmos.container import (
    ItemChangedError,
    ItemExistsError,
    ItemNotFoundError,
    Patch,
    PatchOperation,
)
from shared.cosmos.leases import Lease, LeaseFields
from shared.cosmos.partition import Partition, StoredItem
from shared.errors import APIError, ConflictError, PayloadTooLargeError, ValidationError
from shared.http.responses import HttpResponse
from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion
from shared.tenancy.context import PlatformContext, TenantContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.clock import Clock
    from shared.cosmos.container import Container

HEADER = "idempotency-key"

LEASE_SECONDS = 240.0
"""How long a claim is its holder's. A request ends within 200 s; the rest is for clocks that differ."""

KEPT_SECONDS = 24 * 60 * 60
"""How long an answer is given again."""

_LEASE = LeaseFields()
_PLATFORM = "idempotency"
_DERIVED_ID_LENGTH = 32
_logger = get_logger(__name__)


class IdempotencyKeyReusedError(ValidationError):
    """The key came with another request before."""

    def __init__(self) -> None:
        problem = "was used with another request"
        super().__init__(f"The Idempotency-Key {problem}", {"fields": {f"header.{HEADER}": problem}})


class RequestInWorkError(ConflictError):
    """The first request with this key is still running, or its worker died and its lease has not ended."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "The first request with this Idempotency-Key is still running", retry_after=retry_after
        )


class AnswerNotKeptError(ConflictError):
    """The request was carried out, but its answer was too large to be kept."""

    def __init__(self) -> None:
        super().__init__("The request was carried out before; its answer was too large to be kept")


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that may be repeated.

    Attributes:
        route: The route's name: the same key on another route is another one.
        key: The caller's key.
        content: Everything that makes it this request and no other one, part by part.
    """

    route: str
    key: str
    content: tuple[bytes, ...]

    def claim_id(self, owner: TenantContext | PlatformContext) -> str:
        """Return the id of its claim; the key is hashed, since a caller may put anything in it."""
        return f"{self.route}:{hashlib.sha256(self._key_of(owner).encode()).hexdigest()}"

    def derived_id(self, owner: TenantContext) -> str:
        """Return the id of an effect that is one aggregate, and thereby its own claim."""
        text = f"{owner.tenant_id}\n{self.route}\n{self._key_of(owner)}"
        return hashlib.sha256(text.encode()).hexdigest()[:_DERIVED_ID_LENGTH]

    def _key_of(self, owner: TenantContext | PlatformContext) -> str:
        """Return the key as its owner's: no user, and no role, is answered what another one was."""
        if isinstance(owner, PlatformContext):
            return self.key
        return "\n".join((owner.role, owner.user_id or "", self.key))

    def fingerprint(self) -> str:
        """Hash the content, so that another request under the same key is told from a repeated one."""
        digest = hashlib.sha256()
        for part in self.content:
            digest.update(len(part).to_bytes(8) + part)
        return digest.hexdigest()


class StoredAnswer(BaseModel):
    """An answer as it is kept; `body` is None where it was too large for that."""

    model_config = ConfigDict(frozen=True)

    status: int
    headers: dict[str, str]
    body: str | None


class Claim(StoredItem):
    """One key of one owner on one route.

    Attributes:
        holder: Who runs the request.
        lease_until: Until when the holder may be alive, in seconds of Unix time.
        answer: What came of it; None while it runs.
        ttl: Seconds until the store forgets it, counted from its last change.
    """

    fingerprint: str
    holder: str
    claimed_at: float
    lease_until: float
    answer: StoredAnswer | None = None
    ttl: int = Field(KEPT_SECONDS)

    @property
    def lease(self) -> Lease:
        """Return whose the key is, and until when."""
        return Lease(self.holder, self.lease_until)


class Idempotency:
    """The claims and stored answers of all tenants and of the platform."""

    def __init__(self, container: Container, clock: Clock) -> None:
        self._container = container
        self._clock = clock

    async def run_once(
        self,
        owner: TenantContext | PlatformContext,
        request: KeyedRequest,
        run: Callable[[], Awaitable[HttpResponse]],
    ) -> HttpResponse:
        """Run a request unless it ran before, and answer what it answered then.

        Args:
            owner: Whose key it is.
            request: What is asked for.
            run: Carries it out. An answer that is not final, and every exception, frees the key.

        Raises:
            IdempotencyKeyReusedError: The key came with another request before.
            RequestInWorkError: The first request is still running.
            AnswerNotKeptError: It ran, but its answer was too large to be kept.
            DependencyUnavailableError: The store does not take the claim; nothing was run.
        """
        claim_id = request.claim_id(owner)
        claims = self._claims(owner, claim_id)
        claim = await self._claim(claims, claim_id, request.fingerprint())
        if claim.answer is not None:
            return _replay(claim.answer)
        async with AsyncExitStack() as unanswered:
            unanswered.push_async_callback(lambda: run_to_completion(self._free(claims, claim)))
            answer = await run()
            if answer.is_final:
                unanswered.pop_all()
        if answer.is_final:
            await run_to_completion(self._complete(claims, claim, answer))
        return answer

    async def _claim(self, claims: Partition, claim_id: str, fingerprint: str) -> Claim:
        """Return a claim of our own, or a completed one."""
        now = self._clock.now().timestamp()
        lease = Lease.begin(self._clock, LEASE_SECONDS)
        ours = Claim(
            id=claim_id,
            fingerprint=fingerprint,
            holder=lease.holder,
            claimed_at=now,
            lease_until=lease.until,
        )
        try:
            claim, _ = await claims.create_or_read(ours)
        except ItemExistsError as error:  # freed and claimed anew between our requests
            raise RequestInWorkError(1.0) from error
        if claim.fingerprint != ours.fingerprint:
            raise IdempotencyKeyReusedError
        if claim.answer is not None or claim.holder == ours.holder:
            return claim
        if not claim.lease.is_over(self._clock):
            age = now - claim.claimed_at  # as long again as it has taken: many who wait ask seldom
            raise RequestInWorkError(min(max(1.0, age), claim.lease_until - now))
        return await self._take_over(claims, claim, ours)

    async def _take_over(self, claims: Partition, dead: Claim, ours: Claim) -> Claim:
        changes = (*_LEASE.take(ours.lease), PatchOperation("set", "/claimed_at", ours.claimed_at))
        try:
            return await claims.patch(Claim, dead.id, Patch(changes, etag=dead.etag))
        except (ItemChangedError, ItemNotFoundError) as error:
            stored = await claims.read(Claim, dead.id)
            if stored is not None and stored.holder == ours.holder:
                return stored  # it was done; only the answer was lost
            raise RequestInWorkError(1.0) from error

    async def _complete(self, claims: Partition, claim: Claim, answer: HttpResponse) -> None:
        """Keep an answer.

        Where the store does not take it, the caller has it all the same: the effect is there, and to
        refuse now would only make it be asked for again. The key is then free when the lease has ended.
        """
        kept = StoredAnswer(status=answer.status, headers=dict(answer.headers), body=answer.body.decode())
        try:
            try:
                await self._keep(claims, claim, kept)
            except PayloadTooLargeError:
                await self._keep(claims, claim, kept.model_copy(update={"body": None}))
        except APIError as error:
            facts = {"claim": claim.id, "error": type(error).__name__}
            _logger.warning("An answer was not kept", extra=facts)

    async def _keep(self, claims: Partition, claim: Claim, answer: StoredAnswer) -> None:
        keep = (PatchOperation("set", "/answer", answer.model_dump(mode="json")),)
        await claims.patch(Claim, claim.id, Patch(keep, _LEASE.is_held_by(claim.holder)))

    async def _free(self, claims: Partition, claim: Claim) -> None:
        """Let the key be used again at once; where that fails, it is free when the lease has ended."""
        try:
            await claims.delete(claim.id, claim.etag)
        except APIError as error:
            _logger.warning("A claim was not freed", extra={"claim": claim.id, "error": type(error).__name__})

    def _claims(self, owner: TenantContext | PlatformContext, claim_id: str) -> Partition:
        if isinstance(owner, TenantContext):
            return Partition.of(owner, self._container, claim_id)
        return Partition.of_platform(self._container, _PLATFORM, claim_id)


def _replay(answer: StoredAnswer) -> HttpResponse:
    if answer.body is None:
        raise AnswerNotKeptError
    return HttpResponse(answer.status, answer.headers, answer.body.encode())

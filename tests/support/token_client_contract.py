"""The promises of `TokenClient` over every transport; each transport's tests derive from it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, ClassVar

import pytest

from tenantry_client.errors import InvalidRequestError, NoSuchLockError, TenantryError
from tenantry_client.token_models import MOST_TOKENS, TokenStatus

if TYPE_CHECKING:
    from shared.errors import APIError
    from tenantry_client.token_client import TokenClient

LIMIT = 200_000
"""What the `client` of each transport may take: a tenant of the standard tier that has used nothing."""


class TokenClientContract:
    """Each transport gives `client`, of the application `my_app`, and `other`, of another tenant.

    Over HTTP the errors are the client's own, inside the app the app's.
    """

    not_found: ClassVar[type[APIError | TenantryError]] = NoSuchLockError
    invalid: ClassVar[type[APIError | TenantryError]] = InvalidRequestError

    async def test_the_documents_calls(self, client: TokenClient) -> None:
        allowed, request_id, error = await client.lock_tokens(1000)
        assert (allowed, error) == (True, None)
        assert request_id is not None
        assert request_id.count(":") == 1

        assert await client.report_usage(request_id, prompt_tokens=500, completion_tokens=200) is True

        status = await client.get_status()
        assert isinstance(status, TokenStatus)
        assert (status.used_tokens, status.locked_tokens, status.used_requests) == (700, 0, 1)
        assert (status.limit_tokens, status.available_tokens) == (LIMIT, LIMIT - 700)
        assert 50 < status.reset_time_seconds < 70

    async def test_a_report_tells_kinds_of_tokens(self, client: TokenClient) -> None:
        _, request_id, _ = await client.lock_tokens(1000)
        assert request_id is not None

        with pytest.raises(self.invalid, match="cached_tokens"):
            await client.report_usage(request_id, 500, 500, cached_tokens=501)
        with pytest.raises(self.invalid, match="reasoning_tokens"):
            await client.report_usage(request_id, 500, 500, reasoning_tokens=501)
        assert await client.report_usage(request_id, 500, 200, cached_tokens=500, reasoning_tokens=200)

        assert (await client.get_status()).used_tokens == 700

    async def test_a_refusal_is_an_answer_that_says_why(self, client: TokenClient) -> None:
        await client.lock_tokens(LIMIT - 1)

        allowed, request_id, error = await client.lock_tokens(2)

        assert (allowed, request_id) == (False, None)
        assert error

    async def test_settling_again_changes_nothing(self, client: TokenClient) -> None:
        _, used, _ = await client.lock_tokens(100)
        _, unused, _ = await client.lock_tokens(100)
        assert used is not None
        assert unused is not None

        for _ in range(3):
            assert await client.report_usage(used, 10, 0, user_id="u1") is True
            assert await client.release_tokens(unused) is True
        assert await client.release_tokens(used) is True
        assert await client.report_usage(unused, 10, 10) is True

        status = await client.get_status()
        assert (status.used_tokens, status.locked_tokens) == (10, 0)
        assert (status.used_requests, status.locked_requests) == (1, 0)

    async def test_what_is_nobodys_or_anothers_lock_is_not_found(
        self, client: TokenClient, other: TokenClient
    ) -> None:
        _, request_id, _ = await client.lock_tokens(100)
        assert request_id is not None
        messages: set[str] = set()
        for asking, wrong in ((other, request_id), (client, "a:b"), (client, request_id[:-1])):
            with pytest.raises(self.not_found) as reported:
                await asking.report_usage(wrong, 1, 1)
            with pytest.raises(self.not_found) as released:
                await asking.release_tokens(wrong)
            messages |= {str(reported.value), str(released.value)}

        assert len(messages) == 1
        assert (await client.get_status()).locked_tokens == 100
        assert (await other.get_status()).used_tokens == 0

    @pytest.mark.parametrize("count", [0, -1, -(10**9), MOST_TOKENS + 1])
    async def test_counts_are_positive_and_bounded(self, client: TokenClient, count: int) -> None:
        _, request_id, _ = await client.lock_tokens(5)
        assert request_id is not None

        with pytest.raises(self.invalid, match="token_count"):
            await client.lock_tokens(count)
        if count != 0:  # an embedding completes nothing
            with pytest.raises(self.invalid, match="completion_tokens"):
                await client.report_usage(request_id, 1, count)

        assert (await client.get_status()).locked_tokens == 5

    async def test_what_no_budget_admits_is_invalid(self, client: TokenClient) -> None:
        with pytest.raises(self.invalid):
            await client.lock_tokens(LIMIT + 1)
        with pytest.raises(self.invalid):
            await client.lock_tokens(1, model="a\nb")

    async def test_no_sequence_of_calls_mints_tokens(self, client: TokenClient) -> None:
        chance = random.Random(7)  # noqa: S311  # repeats the same run
        held: list[tuple[str, int]] = []
        settled: list[str] = []
        locked = used = 0
        for _ in range(40):
            action = chance.choice(("lock", "report", "release", "again"))
            if action == "lock" or not held:
                tokens = chance.randrange(1, 500)
                _, request_id, _ = await client.lock_tokens(tokens)
                assert request_id is not None
                held.append((request_id, tokens))
                locked += tokens
            elif action == "again" and settled:
                await client.release_tokens(chance.choice(settled))
            else:
                request_id, tokens = held.pop(chance.randrange(len(held)))
                locked -= tokens
                settled.append(request_id)
                if action == "release":
                    await client.release_tokens(request_id)
                    continue
                took = chance.randrange(1, tokens + 1)
                await client.report_usage(request_id, took, 0)
                used += took

        status = await client.get_status()
        assert (status.locked_tokens, status.used_tokens) == (locked, used)
        assert status.available_tokens == LIMIT - locked - used

    async def test_a_client_works_in_a_block_after_it_and_without_one(self, client: TokenClient) -> None:
        async with client as kept:
            assert (await kept.lock_tokens(1)).allowed
            assert (await kept.lock_tokens(1)).allowed
        assert (await client.lock_tokens(1)).allowed
        await client.close()
        await client.close()
        assert (await client.get_status()).locked_tokens == 3

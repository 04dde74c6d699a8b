"""Of what a partition has told, the latest is remembered: a read is never sent an older state."""

from __future__ import annotations

import pytest

from tenantry_client.cosmos.session_tokens import SessionTokens

LONGEST = "9" * 5000


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (["-1#5", "-1#7"], "-1#7"),
        (["-1#7", "-1#5"], "-1#7"),
        (["1#9", "2#3"], "2#3"),
        (["2#3", "1#9"], "2#3"),
        (["1#5#1=4#2=3", "1#7#1=4#2=3"], "1#7#1=4#2=3"),
        (["1#5#1=4#2=9", "1#7#1=6#2=3"], "1#7#1=6#2=9"),
        (["1#5#1=4", "1#4#2=3"], "1#5#1=4#2=3"),
        (["odd", "1#2"], "1#2"),
        (["1#2", "odd"], "odd"),
        (["1#2#1=2", "1#3#odd"], "1#3#odd"),
        (["1#2", f"1#{LONGEST}"], f"1#{LONGEST}"),
    ],
)
def test_the_later_token_is_known_in_whichever_order_they_come(told: list[str], known: str) -> None:
    tokens = SessionTokens()
    for one in told:
        tokens.learn(f"0:{one}".encode())
    assert tokens.of(("0",)) == f"0:{known}"


def test_partitions_know_nothing_of_each_other() -> None:
    tokens = SessionTokens()
    tokens.learn(b"0:-1#5,1:-1#3")
    tokens.learn(b"1:-1#4")
    assert (tokens.all(), tokens.of(("2", "1")), tokens.of(("3",))) == ("0:-1#5,1:-1#4", "2:-1#4", None)

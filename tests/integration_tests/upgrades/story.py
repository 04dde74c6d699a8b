"""What a tenant does during an upgrade, each step on another release than the last, and must find after."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.integration_tests.platform import Caller, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration_tests.platform import Platform


@dataclass
class Story:
    """One tenant with a key, on both releases.

    Attributes:
        tenant_id: The tenant.
        sides: Its callers: of the release before, and of this tree.
        turns: The acknowledged turns of its conversation, in order.
        versions: The acknowledged versions of its prompt.
        jobs: The accepted jobs.
        tokens: The tokens that were reported.
        replayed: Answers that were asked for again on the other side.
    """

    tenant_id: str
    sides: tuple[Caller, Caller]
    turns: list[int] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    tokens: int = 0
    replayed: int = 0

    @classmethod
    def begin(cls, releases: tuple[Platform, Platform], made_on: int) -> Story:
        """Make a tenant, its key and its bot on one of the releases."""
        maker = releases[made_on]
        tenant_id = maker.new_tenant("premium")
        key = maker.caller(tenant_id).key
        before, now = (Caller(one.client, key) for one in releases)
        story = cls(tenant_id, (before, now))
        story.sides[made_on].must("PUT", "/api/v1/bots/helper", {"system_prompt": "You help."})
        return story

    def go_on(self, round_number: int) -> None:
        """Do each thing once, on a side that changes from thing to thing and from round to round."""
        sides = self._turns_of_sides(round_number)
        chat = {"message": f"Question {round_number}?", "conversation_id": "one"}
        self.turns.append(next(sides).must("POST", "/api/v1/bots/helper/chat", chat)["turn"])
        prompt = {"template": f"Version {round_number} for {{name}}."}
        self.versions.append(next(sides).must("PUT", "/api/v1/prompts/greeting", prompt)["version"])
        job = next(sides).must("POST", "/api/v1/reasoning/jobs", {"text": f"Why {round_number}?"})
        self.jobs.append(job["job_id"])
        self._use_tokens(next(sides), next(sides))
        self._ask_twice(next(sides), next(sides))
        flag = {"value": bool(round_number % 2)}
        next(sides).must("PUT", "/api/v1/settings/prompts.global_fallback", flag)

    def check(self) -> None:
        """See everything that was acknowledged, the same on both sides."""
        for side in self.sides:
            for job in self.jobs:
                done = wait_for(
                    partial(side.must, "GET", f"/api/v1/reasoning/jobs/{job}"),
                    lambda state: state["status"] in {"succeeded", "failed"},
                    hint="the job",
                )
                assert done["status"] == "succeeded", done
        seen = [self._see(side) for side in self.sides]
        assert seen[0] == seen[1], "the releases answer differently about the same tenant"
        assert self.turns == list(range(1, len(self.turns) + 1)), "a turn was lost, or numbered twice"
        assert seen[0]["turns"] == self.turns
        assert self.versions == list(range(1, len(self.versions) + 1))
        assert seen[0]["versions"] == set(self.versions)
        assert seen[0]["tokens of the app"] == self.tokens

    def _see(self, side: Caller) -> dict[str, Any]:
        conversation = side.must("GET", "/api/v1/bots/helper/conversations/one?limit=100")
        versions = side.must("GET", "/api/v1/prompts/greeting/versions?limit=100")["items"]
        prompt = side.must("GET", "/api/v1/prompts/greeting?fresh=true")
        usage = side.must("GET", "/api/v1/usage?group_by=app_id")
        return {
            "turns": [turn["turn"] for turn in conversation["items"]],
            "texts": [turn["message"] for turn in conversation["items"]],
            "versions": {one["version"] for one in versions},
            "template": prompt["template"],
            "tokens of the app": sum(
                row["prompt_tokens"] + row["completion_tokens"]
                for row in usage["items"]
                if row["app_id"] == "app"
            ),
        }

    def _turns_of_sides(self, round_number: int) -> Iterator[Caller]:
        while True:
            yield self.sides[round_number % 2]
            round_number += 1

    def _use_tokens(self, locking: Caller, reporting: Caller) -> None:
        lock = locking.must("POST", "/api/v1/tokens/lock", {"app_id": "app", "token_count": 50})
        assert lock["allowed"], lock
        report = {
            "app_id": "app",
            "request_id": lock["request_id"],
            "prompt_tokens": 20,
            "completion_tokens": 10,
        }
        assert reporting.must("POST", "/api/v1/tokens/report", report)["success"]
        assert locking.must("POST", "/api/v1/tokens/report", report)["success"], "twice is once"
        self.tokens += 30

    def _ask_twice(self, first: Caller, second: Caller) -> None:
        key = uuid.uuid4().hex
        body = {"message": "Once.", "conversation_id": f"c-{key}"}
        answers = [
            side.must("POST", "/api/v1/bots/helper/chat", body, **{"idempotency-key": key})
            for side in (first, second)
        ]
        assert answers[0]["response"] == answers[1]["response"]
        assert answers[0]["turn"] == answers[1]["turn"] == 1, "an answer was given again as a new one"
        self.replayed += 1

"""The demo's plan: enough of everything, the same each time, and nothing that the app would refuse."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from functions.feedback.analysis import answer_format
from functions.feedback.models import FeedbackRequest
from functions.reasoning.models import JobRequest
from functions.reasoning.strategies.answers import Plan as ReasoningPlan
from functions.reasoning.strategies.answers import Verification
from local.demo.plan import MOST_TENANTS, JobFate, make_plan, slug
from local.demo.texts import texts
from shared.prompts.models import PromptDraft
from shared.tenancy.context import parse_tenant_id

ALL = make_plan()


def test_there_are_40_tenants_with_200_prompts_some_of_them_suspended() -> None:
    prompts = sum(len(tenant.prompts) for tenant in ALL.tenants) + len(ALL.global_prompts)

    assert len({tenant.tenant_id for tenant in ALL.tenants}) == 40
    assert prompts == 200
    assert sum(tenant.is_suspended for tenant in ALL.tenants) == 3
    assert {tenant.tier for tenant in ALL.tenants} == {"free", "standard", "premium", "own"}


def test_the_same_seed_plans_the_same_and_another_one_does_not() -> None:
    assert make_plan() == ALL
    assert make_plan(seed=1) != ALL


def test_a_tenant_of_a_small_demo_is_as_in_a_large_one_but_for_its_prompts() -> None:
    small, large = make_plan(3).tenants[0], ALL.tenants[0]

    assert (small.tenant_id, small.jobs, small.feedback) == (large.tenant_id, large.jobs, large.feedback)
    assert sum(len(tenant.prompts) for tenant in make_plan(3).tenants) + 2 == 15


def test_the_first_tenant_has_something_of_everything_and_jobs_of_every_status() -> None:
    first = ALL.tenants[0]

    assert {job.fate for job in first.jobs} == set(JobFate)
    assert first.webhooks
    assert first.limits
    assert first.settings
    assert first.dead_messages
    assert len({one.body["language"] for one in first.feedback}) >= 6


def test_some_answers_are_rated_up_some_down_and_some_not_at_all() -> None:
    turns = [turn for tenant in ALL.tenants for one in tenant.conversations for turn in one.turns]
    ratings = Counter(turn.rating and turn.rating["rating"] for turn in turns)

    assert ratings["up"] > ratings["down"] > 0
    assert ratings[None] > 0


def test_the_app_takes_what_is_planned() -> None:
    for tenant in ALL.tenants:
        parse_tenant_id(tenant.tenant_id)
        for prompt in tenant.prompts:
            for version in prompt.versions:
                PromptDraft.model_validate_json(json.dumps(version))
            assert all(1 <= number <= len(prompt.versions) for number in prompt.labels.values())
        for job in tenant.jobs:
            JobRequest.model_validate_json(json.dumps(job.body))
        for feedback in tenant.feedback:
            FeedbackRequest.model_validate_json(json.dumps(feedback.body))


def test_answers_of_the_stand_in_have_the_form_that_is_asked_for() -> None:
    form = answer_format().json_schema
    assert form is not None
    required = set(form.as_written()["required"])
    for feedback in ALL.tenants[0].feedback:
        [answer] = feedback.answer.texts
        assert set(json.loads(answer)) == required
    waiting = next(job for job in ALL.tenants[0].jobs if job.fate is JobFate.WAITING)
    plan, *results, check, _ = waiting.answers[0].texts

    assert len(results) == len(ReasoningPlan.parse(plan).steps)
    assert Verification.parse(check).is_correct


def test_the_stand_in_can_tell_what_is_asked_by_each_text() -> None:
    cases = [job.case for tenant in ALL.tenants for job in tenant.jobs]
    analyses = [task.analysis for task in texts().tasks]
    ends = Counter(remark.text[-24:] for remark in texts().feedback)

    assert len(set(cases)) == len(cases)
    assert len(set(analyses)) == len(analyses)
    assert set(ends.values()) == {1}


@pytest.mark.parametrize("count", [0, MOST_TENANTS + 1])
def test_a_number_of_tenants_for_which_there_are_no_companies_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 40"):
        make_plan(count)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("The Heron's Rest", "the-herons-rest"), ("Panadería & Söhne", "panaderia-sohne")],
)
def test_a_name_becomes_an_id(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_no_text_leads_anywhere_real() -> None:
    written = json.dumps([tenant.webhooks for tenant in ALL.tenants]) + texts().model_dump_json()
    hosts = re.findall(r"(?:https?://|@)([a-z0-9.-]+)", written)

    assert hosts
    assert all(host.endswith(".example") for host in hosts)

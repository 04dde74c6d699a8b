"""Strategies: the steps that each has, in their order, and what becomes of answers that do not fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from functions.reasoning.strategies.answers import MOST_STEPS, Plan, Questions, Sample, answer_format
from functions.reasoning.strategies.registry import STRATEGIES, StrategyName
from functions.reasoning.strategies.self_consistency import SAMPLES, elect
from shared.prompts.models import PromptDraft
from tests.support.fakes import Call
from tests.unit_tests.reasoning.app import App, message

if TYPE_CHECKING:
    from shared.llm.chat_model import ChatPrompt

PLAN = {"steps": ["Read it", "Count them"]}
FINE = {"is_correct": True, "problems": []}
QUESTIONS = {"questions": ["Who?", "When?", "Why?"]}
YES = {"reasoning": "It says so.", "answer": "Yes."}
NO = {"reasoning": "It does not.", "answer": "No"}
ANSWERS: dict[str, Any] = {"plan": PLAN, "verify": FINE, "break_down": QUESTIONS, "vote": {"number": 2}} | {
    f"sample_{number}": YES for number in range(1, 6)
}
"""Answers of the steps that have a model of their own."""

STEPS = {
    "direct": ["reason", "summarise"],
    "plan_and_solve": ["plan", "solve_1", "solve_2", "verify", "answer", "summarise"],
    "self_consistency": ["sample_1", "sample_2", "sample_3", "sample_4", "sample_5", "summarise"],
    "research": ["break_down", "finding_1", "finding_2", "finding_3", "answer", "summarise"],
}


def script(app: App, **answers: object) -> None:
    """Let the model answer each step with its data, and the others with what they are."""
    app.model.answers = {name: json.dumps(said) for name, said in (ANSWERS | answers).items()}
    app.model.answers |= {
        name: f"Said of {name}" for name in ("solve_1", "solve_2", "finding_1", "finding_2")
    }


async def show(app: App) -> dict[str, Any]:
    shown: dict[str, Any] = (await app.show("j1")).json()
    return shown


def asked(app: App, step: str) -> ChatPrompt:
    """Return the last prompt of a step."""
    return [prompt for prompt in app.model.prompts if prompt.origin.step == step][-1]


def test_every_strategy_is_told_of_here() -> None:
    assert set(STEPS) == set(StrategyName) == set(STRATEGIES)


@pytest.mark.parametrize("strategy", STEPS)
async def test_a_strategys_steps_are_run_in_their_order_each_paid_once(app: App, strategy: str) -> None:
    script(app)

    for _ in range(3):
        await app.deliver(message(strategy=strategy))

    shown = await show(app)
    assert shown["status"] == "succeeded"
    assert [step["name"] for step in shown["steps"]] == STEPS[strategy]
    assert [step["number"] for step in shown["steps"]] == list(range(1, len(STEPS[strategy]) + 1))
    assert [prompt.origin.step for prompt in app.model.prompts] == STEPS[strategy]
    assert shown["usage"]["total_tokens"] == 10 * len(STEPS[strategy])
    assert (shown["result"]["summary"], len(app.sender.results())) == ("a sound answer", 1)


@pytest.mark.parametrize("strategy", STEPS)
@pytest.mark.slow
async def test_a_kill_at_any_step_goes_on_after_the_last_finished_one(app: App, strategy: str) -> None:
    script(app)
    for at, name in enumerate(STEPS[strategy]):
        job_id = f"j{at}"
        died: list[str] = []

        async def die(step: str = name, died: list[str] = died) -> None:
            if app.model.prompts[-1].origin.step == step and not died:
                died.append(step)
                app.die()

        app.model.think = die
        app.model.prompts.clear()
        assert await app.deliver_until_settled(message(id=job_id, strategy=strategy)) == 2

        assert (await app.show(job_id)).json()["status"] == "succeeded"
        steps = [prompt.origin.step for prompt in app.model.prompts]
        assert steps == [*STEPS[strategy][: at + 1], *STEPS[strategy][at:]]


async def test_a_step_is_shown_the_input_and_what_the_steps_before_found(app: App) -> None:
    script(app, verify={"is_correct": False, "problems": ["Count again"]})

    await app.deliver(message(strategy="plan_and_solve"))

    for step in ("plan", "solve_1", "solve_2", "verify", "answer"):
        assert asked(app, step).messages[1].content == "Why?"
    assert "Step 2: Count them" in asked(app, "solve_2").messages[-1].content
    assert "Said of solve_1" in asked(app, "solve_2").messages[-1].content
    assert "Count again" in asked(app, "answer").messages[-1].content
    assert [part.role for part in asked(app, "answer").messages] == ["system", "user", "user"]
    assert asked(app, "summarise").messages[-1].content == "a sound answer"


async def test_research_answers_from_the_findings_of_each_question(app: App) -> None:
    script(app)

    await app.deliver(message(strategy="research"))

    assert "Question 2: When?" in asked(app, "finding_2").messages[-1].content
    told = asked(app, "answer").messages[-1].content
    assert "Question: Who?\nFinding: Said of finding_1" in told
    assert "Question: Why?\nFinding: a sound answer" in told


async def test_the_answer_of_most_samples_is_taken_without_asking_the_model(app: App) -> None:
    alike = {"reasoning": "So.", "answer": "  yes"}
    script(app, sample_1=NO, sample_3=alike, sample_4=NO)

    await app.deliver(message(strategy="self_consistency"))

    shown = await show(app)
    assert shown["result"]["reason"] == "It says so.\n\nYes."
    assert json.loads(app.sender.results()[0]["ai_reason"]) == YES
    assert {prompt.temperature for prompt in app.model.prompts[:SAMPLES]} == {0.8}


async def test_samples_that_are_of_two_minds_are_voted_on(app: App) -> None:
    maybe = {"reasoning": "Who knows?", "answer": "Maybe"}
    script(app, sample_1=NO, sample_2=NO, sample_3=maybe, vote={"number": 3})

    await app.deliver(message(strategy="self_consistency"))

    shown = await show(app)
    assert [step["name"] for step in shown["steps"]][-2:] == ["vote", "summarise"]
    assert shown["result"]["reason"] == "Who knows?\n\nMaybe"
    assert asked(app, "vote").messages[-1].content == "1. No\n2. No\n3. Maybe\n4. Yes.\n5. Yes."


@pytest.mark.parametrize(
    ("answers", "elected"),
    [
        (["a", "b", "a"], 0),
        (["b", "A.", "  a!"], 1),
        (["a", "b"], None),
        (["a", "b", "a", "b", "c"], None),
        (["a"] * 5, 0),
    ],
)
def test_the_answer_that_has_the_most_like_it_is_elected(answers: list[str], elected: int | None) -> None:
    assert elect(answers) == elected


@pytest.mark.parametrize(
    ("unfit", "place"),
    [
        ("no JSON at all", "the whole"),
        (json.dumps({"steps": []}), "/steps"),
        (json.dumps({"steps": ["x"] * (MOST_STEPS + 1)}), "/steps"),
        (json.dumps({"steps": ["x" * 501]}), "/steps/0"),
        (json.dumps({"steps": ["x"], "and": 1}), "the whole"),
    ],
)
async def test_an_answer_that_is_not_its_steps_model_is_asked_for_again_once_and_fails_the_job(
    app: App, unfit: str, place: str
) -> None:
    script(app)
    app.model.answers["plan"] = unfit

    await app.deliver(message(strategy="plan_and_solve"))

    shown = await show(app)
    assert (shown["status"], shown["steps"], len(app.model.prompts)) == ("failed", [], 2)
    assert shown["error"].startswith("InvalidAnswerError: ")
    assert f"(step 'plan': {place} " in shown["error"]
    assert (shown["usage"]["total_tokens"], app.sender.results()[0]["usage"]["total_tokens"]) == (20, 20)


async def test_an_answer_that_fits_when_it_is_asked_for_again_is_taken_and_both_are_paid(app: App) -> None:
    script(app)
    app.model.answers["plan"] = "no JSON"

    async def come_to_its_senses() -> None:
        if len(app.model.prompts) == 2:
            app.model.answers["plan"] = json.dumps(PLAN)

    app.model.think = come_to_its_senses

    await app.deliver(message(strategy="plan_and_solve"))

    shown = await show(app)
    assert (shown["status"], shown["steps"][0]["usage"]["total_tokens"]) == ("succeeded", 20)


@pytest.mark.parametrize(
    ("strategy", "gate"),
    [("plan_and_solve", "plan"), ("research", "break_down"), ("self_consistency", "sample_5")],
)
async def test_a_strategy_waits_for_approval_after_the_step_that_decides_what_comes(
    app: App, strategy: str, gate: str
) -> None:
    script(app)
    await app.deliver(message(strategy=strategy, needs_approval=True))
    waiting = await show(app)

    body = {"step": gate, "approved": True}
    await app.client.call("approve_job", Call.of(body, headers=app.user, job_id="j1"))
    await app.deliver(app.sender.sent[-1][1].body)

    assert (waiting["status"], waiting["waiting_step"]) == ("waiting", gate)
    assert waiting["steps"][-1]["name"] == gate
    assert (await show(app))["status"] == "succeeded"


async def test_all_steps_use_the_version_of_the_prompt_that_the_first_one_did(app: App) -> None:
    script(app)
    await app.prompts.save("ask", PromptDraft(template="First"), None)

    async def save_another() -> None:
        if app.model.prompts[-1].origin.step == "plan":
            await app.prompts.save("ask", PromptDraft(template="Second"), None)

    app.model.think = save_another
    await app.deliver(message(text=None, prompt_name="ask", strategy="plan_and_solve"))

    assert (await show(app))["prompt"] == {"name": "ask", "version": 1}
    assert {prompt.messages[1].content for prompt in app.model.prompts[:-1]} == {"First"}


@pytest.mark.parametrize("model", [Plan, Questions, Sample])
def test_the_models_of_answers_are_in_the_part_of_json_schema_that_is_taken(model: type[Plan]) -> None:
    assert answer_format(model).json_schema is not None

"""Steps of a job: each one model call, whose answer is checked, and asked for again once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.reasoning.errors import UnfitAnswerError
from functions.reasoning.strategies.answers import answer_format
from shared.contracts import ChatMessage, PromptSelection, PromptUse
from shared.jobs.models import JobStep
from shared.llm.chat_model import ChatPrompt
from shared.llm.model_call import CallOrigin
from shared.prompts.rendering import render_for_model

if TYPE_CHECKING:
    from functions.reasoning.inputs import JobInputs
    from functions.reasoning.stored_models import ReasoningJob
    from functions.reasoning.strategies.strategy import StepCall
    from shared.contracts import ReasonerIn
    from shared.llm.chat_model import ChatModel, Completion
    from shared.llm.token_cap import TokenCap
    from shared.prompts.library import ResolvesPrompts

MOST_STEP_BYTES = 128 * 1024
"""The most of one answer: a job's dozen of them, its input and its result are one item of 2 MB at most."""

_DEFAULT_OUTPUT_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class _Input:
    """The input of a job, and the version of the prompt that it comes from, if it does."""

    conversation: tuple[ChatMessage, ...]
    prompt: PromptUse | None


@dataclass(frozen=True, slots=True)
class StepRunner:
    """Runs the steps of one tenant's jobs.

    Attributes:
        inputs: The inputs of the tenant's jobs.
        prompts: The tenant's prompts.
        model: The chat model, within the tenant's budget.
        default_model: The model of jobs that name none.
    """

    inputs: JobInputs
    prompts: ResolvesPrompts
    model: ChatModel
    default_model: str

    async def run(self, job: ReasoningJob, call: StepCall, cap: TokenCap) -> JobStep:
        """Answer a step.

        Raises:
            UnfitAnswerError: Neither the first answer nor the second one is of use.
            InvalidAnswerError: Neither one is data of the step's model.
            TokenCapReachedError: The job's own budget may not suffice.
            APIError: The prompt's, the model's and the budget's own errors.
        """
        found = await self._find_input(job) if call.with_input else _Input((), None)
        notes = () if call.notes is None else (ChatMessage(role="user", content=call.notes),)
        messages = (ChatMessage(role="system", content=call.instructions), *found.conversation, *notes)
        most_tokens = call.max_output_tokens or job.request.max_output_tokens or _DEFAULT_OUTPUT_TOKENS
        prompt = ChatPrompt(
            messages,
            job.request.model or self.default_model,
            most_tokens,
            origin=CallOrigin(job_id=job.id, step=call.name, prompt=found.prompt),
            temperature=call.temperature,
            answer_format=None if call.answer is None else answer_format(call.answer),
            cap=cap,
        )
        completion = await self.model.complete(prompt)
        usage = completion.usage
        if _find_problem(completion, call) is not None:  # of data, the model has asked again itself
            completion = await self.model.complete(prompt)
            usage += completion.usage
            if (problem := _find_problem(completion, call)) is not None:
                raise UnfitAnswerError(call.name, problem)
        return JobStep(
            text=completion.text.strip(),
            usage=usage,
            number=len(job.steps) + 1,
            model=completion.model,
            finish_reason=completion.finish_reason,
            prompt=found.prompt,
        )

    async def _find_input(self, job: ReasoningJob) -> _Input:
        """Find what a job is about; all of its steps use the version of its prompt that the first one did."""
        request = await self.inputs.load(job.request)
        reference = _find_used_prompt(job) or _find_named_prompt(request)
        if reference is not None:
            prompt = await self.prompts.resolve(reference.name, reference.label, reference.version)
            use = PromptUse(name=prompt.version.name, version=prompt.version.version)
            return _Input(render_for_model(prompt, request.variables or {}, "user"), use)
        if request.messages is not None:
            return _Input(tuple(request.messages), None)
        return _Input((ChatMessage(role="user", content=request.text or ""),), None)


def _find_used_prompt(job: ReasoningJob) -> PromptSelection | None:
    used = next((step.prompt for step in job.steps.values() if step.prompt is not None), None)
    return None if used is None else PromptSelection(name=used.name, version=used.version)


def _find_named_prompt(request: ReasonerIn) -> PromptSelection | None:
    return request.prompt if request.prompt_name is None else PromptSelection(name=request.prompt_name)


def _find_problem(completion: Completion, call: StepCall) -> str | None:
    text = completion.text.strip()
    if len(text) < call.shortest:
        return f"has less than {call.shortest} characters"
    if len(text.encode()) > MOST_STEP_BYTES:
        return f"has more than {MOST_STEP_BYTES} bytes"
    return None

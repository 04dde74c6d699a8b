"""Plan of the demo: all that the API is to have, made from a seed alone, so that each run plans the same."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any

from local.demo.texts import texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from local.demo.texts import Company, PromptTopic, Remark, Task

MOST_TENANTS = 40
SEED = 20_26
PROMPTS_PER_TENANT = 5
"""On average: some have two, the first one has most."""

SUSPENDED = frozenset({10, 22, 33})
"""Places of tenants that are suspended at the end."""

THROTTLED_MODEL = "gpt-4.1-nano"
"""The model whose rate keeps jobs queued, in the first tenant alone."""

_SHOWCASE = 4
"""So many tenants have something of everything; a small demo has them first."""

_MODELS = {
    "free": ("gpt-4o-mini",),
    "standard": ("gpt-4.1-mini", "gpt-4o"),
    "premium": ("gpt-4.1", "gpt-5-mini"),
    "own": ("gpt-5-mini", "gpt-4.1-mini"),
}
_COMMENTS = {
    "up": ("Exactly what I needed.", "Fast and friendly.", None, None),
    "down": ("That did not answer my question.", "Too long.", "The day was wrong.", None),
}


class JobFate(StrEnum):
    """Status that a job is to be left in."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PlannedPrompt:
    """A prompt: its versions as they are saved one after the other, and the version of each label."""

    name: str
    versions: tuple[dict[str, Any], ...]
    labels: dict[str, int]


@dataclass(frozen=True, slots=True)
class PlannedBot:
    """A bot's configuration, and values of its prompt's variables."""

    bot_id: str
    body: dict[str, Any]
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    """A question, the stand-in's answer to it, and what the user thought of that."""

    question: str
    answer: str
    rating: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class PlannedConversation:
    """A conversation of one user with a bot."""

    bot: PlannedBot
    conversation_id: str
    title: str
    user_id: str
    turns: tuple[PlannedTurn, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of the stand-in to requests with a text in them, one after the other."""

    contains: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A reasoning job, its end, and what the stand-in says on the way there.

    Attributes:
        case: What its text is told from others by.
    """

    body: dict[str, Any]
    fate: JobFate
    case: str
    answers: tuple[Answers, ...]

    @property
    def job_id(self) -> str:
        """Its id."""
        return str(self.body["id"])


@dataclass(frozen=True, slots=True)
class PlannedFeedback:
    """A feedback and its analysis."""

    body: dict[str, Any]
    answer: Answers

    @property
    def feedback_id(self) -> str:
        """Its id."""
        return str(self.body["id"])


@dataclass(frozen=True, slots=True)
class PlannedKey:
    """A key beside the demo's own."""

    body: dict[str, Any]
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that nobody can handle, and the function that is given it."""

    function: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlannedTenant:
    """A tenant and all that it has.

    Attributes:
        size: How many times as busy as a small one it is.
        limits: The administrator's override.
        limit_days: After how many days that expires.
    """

    tenant_id: str
    name: str
    tier: str
    industry: str
    size: float
    models: tuple[str, ...]
    is_suspended: bool = False
    keys: tuple[PlannedKey, ...] = ()
    prompts: tuple[PlannedPrompt, ...] = ()
    bots: tuple[PlannedBot, ...] = ()
    conversations: tuple[PlannedConversation, ...] = ()
    jobs: tuple[PlannedJob, ...] = ()
    feedback: tuple[PlannedFeedback, ...] = ()
    webhooks: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] | None = None
    limit_days: int = 30
    dead_messages: tuple[DeadMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """All tenants, and what is the platform's own."""

    tenants: tuple[PlannedTenant, ...]
    global_prompts: tuple[PlannedPrompt, ...]


def generator(*names: object) -> Random:
    """Return a generator that gives the same for the same names, on every machine."""
    return Random(":".join(map(str, names)))  # noqa: S311  # repeatable is the purpose; nothing here is secret


def make_plan(count: int = MOST_TENANTS, seed: int = SEED) -> Plan:
    """Plan so many tenants, each as it would be among more of them, but for how many prompts it has.

    Raises:
        ValueError: There are not as many companies.
    """
    if not 1 <= count <= MOST_TENANTS:
        raise ValueError(f"between 1 and {MOST_TENANTS} tenants")
    known = texts()
    global_prompts = tuple(_plan_prompt(topic, generator(seed, topic.name)) for topic in known.global_prompts)
    shares = _share_prompts(count * PROMPTS_PER_TENANT - len(global_prompts), known.companies[:count])
    tenants = tuple(
        _Planner(place, company, seed).plan(prompts)
        for place, (company, prompts) in enumerate(zip(known.companies, shares, strict=False))
    )
    return Plan(tenants, global_prompts)


def slug(name: str) -> str:
    """Write a name as an id."""
    plain = unicodedata.normalize("NFKD", name.replace("'", "")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def _share_prompts(total: int, companies: Sequence[Company]) -> list[int]:
    """Share prompts out: the busy have more, nobody less than two or more than there are topics."""
    most = len(texts().prompts)
    shares = [min(2, most) for _ in companies]
    while sum(shares) < total and min(shares) < most:
        hungry = [place for place, share in enumerate(shares) if share < most]
        place = max(hungry, key=lambda one: (companies[one].size + 3) / (shares[one] + 1))
        shares[place] += 1
    return shares


def _plan_prompt(topic: PromptTopic, random: Random) -> PlannedPrompt:
    count = random.randint(1, len(topic.rules) + 1)
    versions = []
    for number in range(1, count + 1):
        rules = [f"- {rule}" for rule in topic.rules[: number - 1]]
        reason = "First version" if number == 1 else f"Rule added: {topic.rules[number - 2]}"
        versions.append(
            {
                "template": "\n".join([*topic.lines, *rules]),
                "description": topic.description,
                "tags": list(topic.tags),
                "config": {"temperature": random.choice((0, 0.2, 0.7))},
                "reason": reason,
            }
        )
    labels = {"production": max(1, count - random.choice((0, 0, 1)))}
    if count > 1:
        labels["staging"] = count
    return PlannedPrompt(topic.name, tuple(versions), labels)


class _Planner:
    """Plans one tenant."""

    def __init__(self, place: int, company: Company, seed: int) -> None:
        self._place = place
        self._company = company
        self._tenant_id = slug(company.name)
        self._random = generator(seed, self._tenant_id)
        self._random_of_prompts = generator(seed, self._tenant_id, "prompts")
        self._models = _MODELS[company.tier]

    def plan(self, prompts: int) -> PlannedTenant:
        company = self._company
        planned = self._plan_prompts(prompts)
        bots = tuple(self._plan_bots({one.name for one in planned}))
        return PlannedTenant(
            tenant_id=self._tenant_id,
            name=company.name,
            tier=company.tier,
            industry=company.industry,
            size=company.size,
            models=self._models,
            is_suspended=self._place in SUSPENDED,
            keys=tuple(self._plan_keys()),
            prompts=planned,
            bots=bots,
            conversations=tuple(self._plan_conversations(bots)),
            jobs=tuple(self._plan_jobs()),
            feedback=tuple(self._plan_feedback()),
            webhooks=self._plan_webhooks(),
            settings=self._plan_settings(),
            limits=self._plan_limits(),
            limit_days=self._random.randint(5, 60),
            dead_messages=tuple(self._plan_dead_messages()),
        )

    @property
    def _is_showcase(self) -> bool:
        return self._place < _SHOWCASE

    def _plan_prompts(self, count: int) -> tuple[PlannedPrompt, ...]:
        first, *others = texts().prompts
        random = self._random_of_prompts  # their number depends on other tenants, and nothing else may
        topics = [first, *random.sample(others, count - 1)]
        return tuple(_plan_prompt(topic, random) for topic in topics)

    def _plan_bots(self, prompts: set[str]) -> Iterator[PlannedBot]:
        first = True
        for bot_id, purpose in texts().industries[self._company.industry].bots:
            body: dict[str, Any] = {
                "description": purpose,
                "llm": {"model": self._random.choice(self._models), "max_output_tokens": 600},
                "tags": [self._company.industry],
            }
            variables: dict[str, str] = {}
            if first and "support-reply" in prompts:
                body["prompt"] = {"name": "support-reply", "label": "production"}
                variables = {"company": self._company.name, "language": "the customer's language"}
            else:
                body["system_prompt"] = f"{purpose}, for {self._company.name}. Be brief and exact."
            if self._random.random() < 0.3:  # noqa: PLR2004  # about a third
                body["memory"] = {"type": "summary", "max_tokens": 4_000}
            yield PlannedBot(bot_id, body, variables)
            first = False

    def _plan_conversations(self, bots: Sequence[PlannedBot]) -> Iterator[PlannedConversation]:
        dialogues = texts().industries[self._company.industry].dialogues
        count = 8 if self._is_showcase else self._random.randint(1, 4)
        for number in range(1, count + 1):
            dialogue = dialogues[(number - 1) % len(dialogues)]
            # The first user has the first conversations: the demo's own user's key shows those.
            person = texts().people[0] if number <= len(dialogues) else self._random.choice(texts().people)
            bot = bots[0] if number <= len(dialogues) else self._random.choice(list(bots))
            turns = tuple(PlannedTurn(*pair, self._plan_rating()) for pair in dialogue.turns)
            yield PlannedConversation(bot, f"c-{number:04}", dialogue.title, person, turns)

    def _plan_rating(self) -> dict[str, str] | None:
        thought = self._random.choices(("up", "down", None), (5, 1, 4))[0]
        if thought is None:
            return None
        comment = self._random.choice(_COMMENTS[thought])
        return {"rating": thought} if comment is None else {"rating": thought, "comment": comment}

    def _plan_jobs(self) -> Iterator[PlannedJob]:
        if self._place == 0:
            fates = [JobFate.SUCCEEDED] * 3 + [JobFate.WAITING] * 2 + [JobFate.FAILED, JobFate.CANCELLED]
            fates += [JobFate.RUNNING] + [JobFate.QUEUED] * 5
        elif self._is_showcase:
            fates = [JobFate.SUCCEEDED, JobFate.SUCCEEDED, JobFate.WAITING, JobFate.FAILED, JobFate.CANCELLED]
        else:
            fates = [JobFate.SUCCEEDED] * self._random.randint(0, 2)
        for number, fate in enumerate(fates, 1):
            yield self._plan_job(number, fate, texts().tasks[(self._place + number) % len(texts().tasks)])

    def _plan_job(self, number: int, fate: JobFate, task: Task) -> PlannedJob:
        case = f"Case {self._tenant_id}/{number:03}."
        text = f"{task.text.format(company=self._company.name)} {case}"
        body: dict[str, Any] = {"id": f"job-{number:03}", "task_id": f"case-{number:03}", "text": text}
        said: tuple[str, ...] = (task.analysis,)
        match fate:
            case JobFate.WAITING | JobFate.CANCELLED:
                body |= {"strategy": "plan_and_solve", "needs_approval": True}
                said = _solve(task)
            case JobFate.FAILED:
                body["token_budget"] = 40
            case JobFate.QUEUED:
                body["model"] = THROTTLED_MODEL
            case JobFate.SUCCEEDED if number % 2 == 0:
                body["strategy"] = "plan_and_solve"
                said = _solve(task)
            case _:
                pass
        return PlannedJob(body, fate, case, (Answers(case, said), Answers(task.analysis, (task.summary,))))

    def _plan_feedback(self) -> Iterator[PlannedFeedback]:
        known = texts().feedback
        if self._is_showcase:
            remarks = [*known, *self._random.choices(known, k=10), texts().personal_feedback]
        else:
            remarks = self._random.sample(known, self._random.randint(0, 5))
        for number, remark in enumerate(remarks, 1):
            body = {"id": f"f-{number:04}", "language": remark.language, "text": remark.text}
            yield PlannedFeedback(body, _analyse(remark))

    def _plan_keys(self) -> Iterator[PlannedKey]:
        yield PlannedKey({"name": "Web shop", "role": "user"})
        if self._random.random() < 0.5 or self._is_showcase:  # noqa: PLR2004  # about half
            yield PlannedKey({"name": "Reports", "role": "tenant_admin"}, is_revoked=True)
        if self._random.random() < 0.4:  # noqa: PLR2004  # fewer
            person = self._random.choice(texts().people)
            yield PlannedKey({"name": f"Mobile app of {person}", "role": "user", "user_id": person})

    def _plan_webhooks(self) -> tuple[str, ...]:
        if self._is_showcase or self._place % 5 == 0:
            return (f"https://hooks.{self._tenant_id}.example/tenantry",)
        return ()

    def _plan_settings(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if self._is_showcase or self._place % 3 == 0:
            values["chat.retention_days"] = self._random.choice((30, 90, 365))
        if self._place % 4 == 1:
            values["chat.default_model"] = self._models[0]
        if self._is_showcase:
            values["tokens.app_shares"] = {f"bot:{self._bot_names[0]}": 0.6, "*": 0.4}
        return values

    @property
    def _bot_names(self) -> list[str]:
        return [bot_id for bot_id, _ in texts().industries[self._company.industry].bots]

    def _plan_limits(self) -> dict[str, Any] | None:
        if self._place == 0:
            # Room for one step of a job in a minute: the others of that model wait for it.
            return {"models": {THROTTLED_MODEL: {"tokens": 1_800, "requests": 1}}}
        if self._company.tier == "own":
            return {"tokens_per_minute": 500_000, "requests_per_minute": 1_500}
        if self._place % 6 == 1:
            return {"tokens_per_day": 5_000_000 * self._random.randint(1, 4)}
        return None

    def _plan_dead_messages(self) -> Iterator[DeadMessage]:
        if not self._is_showcase:
            return
        tenant = {"tenant_id": self._tenant_id}
        both = {"text": "Which one?", "messages": [{"role": "user", "content": "Or this one?"}]}
        yield DeadMessage("run_job", tenant | {"id": "nightly-report-7"} | both)
        yield DeadMessage(
            "analyse_feedback",
            tenant | {"id": "shop-4711", "language": "english, please", "text": "The new shop is fine."},
        )
        yield DeadMessage("run_job", tenant | {"id": "nightly-report-8", "strategy": "guess", "text": "Why?"})


def _solve(task: Task) -> tuple[str, ...]:
    """Give the answers of plan and solve: the plan, a result for each step, the check, the answer."""
    sentences = [f"{one.strip().rstrip('.')}." for one in task.analysis.split(". ")]
    results = [sentences[min(place, len(sentences) - 1)] for place in range(len(task.steps))]
    check = {"is_correct": True, "problems": []}
    return (json.dumps({"steps": task.steps}), *results, json.dumps(check), task.analysis)


def _analyse(remark: Remark) -> Answers:
    """Give the answer of a feedback's analysis, told by its end: personal data in it is taken out before."""
    answer = {
        "ai_hashtag": remark.hashtag,
        "hashtag": remark.hashtag,
        "category": remark.category,
        "summary": remark.summary,
        "personal_data": [],
    }
    return Answers(remark.text[-24:], (json.dumps(answer, ensure_ascii=False),))

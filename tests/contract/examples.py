"""Recording of the API document's examples, and the comparison with what the app answers now.

What differs between two runs of the scenario, such as ids that are made up, is shown by stand-ins: values of
the same shape, the same in each recording. The comparison binds each to the value that it finds first.
"""

from __future__ import annotations

import json
import random
import re
import string
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from shared.http.examples import RecordedExample, RecordedExamples
from tests.contract.derivation import derive_steps
from tests.contract.scenario import ADMIN, PREPARATIONS, STEPS, TENANT, TENANT_ADMIN, USER, SupportModel
from tests.support.fakes import Call, StillClock
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from shared.http.route import Route
    from tests.contract.scenario import Step
    from tests.support.fakes import Answer
    from tests.support.whole_app import WholeApp

_SECONDS_BETWEEN_REQUESTS = 1.0
_KEY_NAMES = {TENANT_ADMIN: "administration", USER: "website"}
_LONGEST_EXCERPT = 15
_ALPHABETS = (
    string.hexdigits.lower()[:16],
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_letters + "-_",
)
_PUNCTUATION = '".:='


class Sender:
    """Sends the requests of one run, in their order, to an app of its own."""

    def __init__(self, app: WholeApp) -> None:
        self._app = app
        self._keys: dict[str, dict[str, str]] = {ADMIN: app.admin}

    @property
    def routes(self) -> list[Route]:
        """The app's routes."""
        return self._app.runtime.routes

    async def send(self, example: RecordedExample) -> RecordedExample:
        """Send one request; returns it with its answer."""
        self._app.clock.advance(_SECONDS_BETWEEN_REQUESTS)
        if example.operation in PREPARATIONS:
            await PREPARATIONS[example.operation](self._app)
        body = b"" if example.body is None else json.dumps(example.body).encode()
        headers = {**example.headers, **await self._credential(example.caller)}
        call = Call(example.path, urlencode(example.query), headers, body)
        answer = await self._app.client.call(example.operation, call)
        return example.model_copy(update={"status": answer.status, "answer": _read(answer)})

    async def _credential(self, caller: str | None) -> dict[str, str]:
        if caller is None:
            return {}
        if caller not in self._keys:
            body = {"name": _KEY_NAMES[caller], "role": caller}
            made = await self._app.must(
                "create_key", Call.of(body, headers=self._app.admin, tenant_id=TENANT)
            )
            self._keys[caller] = {"authorization": f"Bearer {made.json()['key']}"}
        return self._keys[caller]


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    """Open the app, with a model that answers as a support bot would."""
    async with whole_app(StillClock()) as app:  # on one that moves by itself, the heartbeats of jobs race
        await app.load_tokenizer()
        app.runtime.__dict__["chat_model"] = SupportModel()
        yield Sender(app)


async def record() -> RecordedExamples:
    """Send the scenario's requests twice, and keep what the answers have in common."""
    first, second = await _run(), await _run()
    stand_ins: dict[str, str] = {}
    for one, other in zip(first, second, strict=True):
        for place, value, another in _leaves(one.answer, other.answer, one.operation):
            if value != another and str(value) not in stand_ins:
                assert isinstance(value, str), f"{place} is of another kind or length in each run"
                assert isinstance(another, str), f"{place} is of another kind or length in each run"
                stand_ins[value] = _stand_in(place, value, another, stand_ins)
    shown = [RecordedExample.model_validate(_replace(one.model_dump(), stand_ins)) for one in first]
    return RecordedExamples(stand_ins=sorted(set(stand_ins.values())), examples=shown)


async def _run() -> list[RecordedExample]:
    learnt: dict[str, str] = {}
    answered: list[RecordedExample] = []
    async with sender() as sending:
        for step in (*STEPS, *derive_steps(sending.routes)):
            example = await sending.send(_request(step, learnt))
            answer = example.answer
            assert example.status < 300, f"{step.operation}: {example.status} {answer}"
            if step.learns:
                assert isinstance(answer, dict)
                learnt |= {name: str(answer[told]) for name, told in step.learns.items()}
            if step.shows:
                assert isinstance(answer, dict)
                answer = {name: answer[name] for name in step.shows}
            elif isinstance(answer, str):
                answer = answer[:_LONGEST_EXCERPT]
            answered.append(
                example.model_copy(update={"answer": answer, "excerpt": answer != example.answer})
            )
    return answered


def _request(step: Step, learnt: Mapping[str, str]) -> RecordedExample:
    names = {f"<{name}>": value for name, value in learnt.items()}
    request = {"path": step.path, "query": step.query, "headers": step.headers, "body": step.body}
    sent = _replace(json.loads(json.dumps(request)), names)
    return RecordedExample.model_validate(
        {"operation": step.operation, "caller": step.caller, "status": 0} | sent
    )


def _read(answer: Answer) -> JsonValue:
    if not answer.body:
        return None
    if answer.headers["content-type"].startswith("application/json"):
        read: JsonValue = answer.json()
        return read
    return answer.body.decode()


class Comparison:
    """Comparison of what examples show with what is answered now."""

    def __init__(self, stand_ins: Sequence[str]) -> None:
        longest_first = sorted(stand_ins, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._bound: dict[str, str] = {}

    def request(self, example: RecordedExample) -> RecordedExample:
        """Return an example whose request names what this run has told in the place of stand-ins."""
        return RecordedExample.model_validate(_replace(example.model_dump(), self._bound))

    def differences(self, shown: RecordedExample, answered: RecordedExample) -> list[str]:
        """List what is answered otherwise than shown, by its place."""
        name = shown.operation
        if shown.status != answered.status:
            return [f"{name}: {answered.status} instead of {shown.status}: {answered.answer}"]
        answer = _cut(answered.answer, shown.answer) if shown.excerpt else answered.answer
        return [
            f"{place}: {told!r} instead of {value!r}"
            for place, value, told in _leaves(shown.answer, answer, name)
            if value != told and not self._binds(value, told)
        ]

    def _binds(self, shown: object, told: object) -> bool:
        """Tell whether a text is what is shown but for stand-ins, each of which means one thing in a run."""
        if not isinstance(shown, str) or not isinstance(told, str):
            return False
        names = self._any.findall(shown)
        fixed = [re.escape(part) for part in self._any.split(shown)]
        match = re.fullmatch("(.+)".join(fixed), told, re.DOTALL)
        if not names or match is None:
            return False
        found = dict(zip(names, match.groups(), strict=True))
        return all(self._bound.setdefault(name, value) == value for name, value in found.items())


def _cut(answer: JsonValue, shown: JsonValue) -> JsonValue:
    """Return what an excerpt shows of an answer."""
    if isinstance(answer, dict) and isinstance(shown, dict):
        return {name: answer.get(name) for name in shown}
    return answer[: len(shown)] if isinstance(answer, str) and isinstance(shown, str) else answer


def _leaves(one: JsonValue, other: JsonValue, place: str) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Walk two answers side by side; what has another shape is a leaf."""
    if isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        for name, value in one.items():
            yield from _leaves(value, other[name], f"{place}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, value in enumerate(one):
            yield from _leaves(value, other[index], f"{place}.{index}")
    else:
        yield place, one, other


def _common_beginning(value: str, another: str) -> str:
    """Return what two texts begin with, up to a sign that ends a part: the rest may agree by chance."""
    length = 0
    for index, (char, other) in enumerate(zip(value, another, strict=False), 1):
        if char != other:
            break
        length = length if char.isalnum() else index
    return value[:length]


def _stand_in(place: str, value: str, another: str, known: Mapping[str, str]) -> str:
    """Make up a value of the same shape, the same in each recording; of a key, one that no key can be."""
    if value.startswith("tk."):
        return str(_replace(value.rpartition(".")[0], known)) + ".shown-this-once"
    kept = _common_beginning(value, another)
    made_up = random.Random(place)  # noqa: S311  # no secret: it has to be the same each time
    rest = value[len(kept) :]
    letters = next(letters for letters in _ALPHABETS if set(rest) <= set(letters + _PUNCTUATION))
    return kept + "".join(char if char in _PUNCTUATION else made_up.choice(letters) for char in rest)


def _replace(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  # JSON of any shape
    """Put other texts in the place of some, the longest first, wherever they stand in JSON."""
    if isinstance(value, dict):
        return {name: _replace(inner, names) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replace(inner, names) for inner in value]
    if isinstance(value, str):
        for name in sorted(names, key=len, reverse=True):
            value = value.replace(name, names[name])
    return value

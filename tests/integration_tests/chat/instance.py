"""An instance of the app's chat in a process of its own, with a model that says how much it was reminded of.

`python -m tests.integration_tests.chat.instance ADDRESS NAME MESSAGES [--ahead SECONDS] [--hang]` waits for
a line on stdin, sends all of its messages to one conversation at once and prints each reply as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from functions.chat.bots.repository import BotRepository
from functions.chat.conversations.models import ChatRequest
from functions.chat.conversations.repository import ConversationRepository
from functions.chat.conversations.service import ChatService
from local.supervisor.addresses import COSMOS_KEY
from shared.clock import SystemClock
from shared.contracts import Usage
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.errors import ConflictError
from shared.llm.chat_model import Completion
from shared.llm.token_counting import TokenCounter
from shared.resilience.dependency import Dependency
from tests.support.fakes import tenant_context
from tests.support.models import FakeModels
from tests.support.whole_app import speak
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from functions.chat.conversations.models import ChatReply
    from shared.llm.chat_model import AnswerStream, ChatPrompt

ACME = tenant_context("acme")
BOT, CONVERSATION = "b", "c"
READY = "ready"
ASKED = "asked"
"""What is printed when the model is asked and will never answer."""


@dataclass(frozen=True, slots=True)
class ClockAhead:
    """The machine's clocks, the wall clock some seconds later."""

    seconds: float
    machine: SystemClock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        return self.machine.now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.machine.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.machine.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Model:
    """Repeats the message, and tells how many turns came before it."""

    hangs: bool = False

    async def complete(self, prompt: ChatPrompt) -> Completion:
        if self.hangs:
            print(ASKED, flush=True)  # noqa: T201  # the test waits for it
            await asyncio.Event().wait()
        before = sum(message.role == "assistant" for message in prompt.messages)
        text = f"{prompt.messages[-1].content} after {before}"
        return Completion(text, Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2), "m", "stop")

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        yield speak(await self.complete(prompt))


@dataclass(frozen=True, slots=True)
class Instance:
    """The chat of one tenant on one store."""

    bots: BotRepository
    conversation: ConversationRepository
    service: ChatService

    async def say(self, message: str) -> ChatReply:
        """Send a message as a client does who asks again when told that another one is being answered."""
        while True:
            try:
                return await self.service.reply(
                    BOT, ChatRequest(message=message, conversation_id=CONVERSATION)
                )
            except ConflictError:
                continue


@asynccontextmanager
async def instance(address: str, *, ahead: float = 0, hangs: bool = False) -> AsyncIterator[Instance]:
    """Open the chat over the real SDK."""
    clock = ClockAhead(ahead)
    async with open_client(address, COSMOS_KEY) as client:
        database = client.get_database_client("tenantry")
        dependency = Dependency("Cosmos DB", classify)

        def container(name: str) -> SdkContainer:
            return SdkContainer(database.get_container_client(name), dependency)

        bots = BotRepository(ACME, container("bots"), clock)
        conversation = ConversationRepository(
            ACME, container("conversations"), clock, bot_id=BOT, conversation_id=CONVERSATION
        )
        service = ChatService(
            tenant=ACME,
            bots=bots,
            prompts=library_over(container("prompts"), clock).of(ACME),
            open_conversation=lambda _bot, _conversation: conversation,
            open_in_memory=lambda _bot, _conversation: conversation,
            open_model=lambda _: Model(hangs),
            default_model="m",
            counter=TokenCounter(),
            tokenizer_of=partial(FakeModels().tokenizer, ACME),
            count_turn=lambda _bot, _per_minute: None,
        )
        yield Instance(bots, conversation, service)


async def _run(arguments: argparse.Namespace) -> None:
    async with instance(arguments.address, ahead=arguments.ahead, hangs=arguments.hang) as chat:
        print(READY, flush=True)  # noqa: T201  # the test waits for it
        sys.stdin.readline()
        messages = [chat.say(f"{arguments.name} {number}") for number in range(arguments.messages)]
        for reply in await asyncio.gather(*messages):
            print(reply.model_dump_json(), flush=True)  # noqa: T201  # the test reads it


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("name")
    parser.add_argument("messages", type=int)
    parser.add_argument("--ahead", type=float, default=0)
    parser.add_argument("--hang", action="store_true")
    asyncio.run(_run(parser.parse_args()))

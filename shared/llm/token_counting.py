"""Tokenizer of the models, from ranks that the deployment carries: nothing is ever downloaded.

Its work is bounded before it begins. What the library is given at once is a window of a text: on a long run
of one class of characters its regular expression backtracks until it panics, which ends a worker's function
as no exception does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import ConfigurationError
from shared.llm.chat_model import PromptTooLongError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tiktoken import Encoding

    from shared.llm.chat_model import ChatPrompt

RANKS = Path(__file__).parent / "ranks"
_LONG_TEXT = 4_000
"""Characters above which counting leaves the event loop: about a millisecond's work."""

MAX_CHARACTERS = 2_000_000
"""The most that is counted of one prompt: half a second's work at worst, and more than a model's context."""

_WINDOW = 10_000
_MOST_TRIES = 50

# https://github.com/openai/openai-cookbook, "How to count tokens with tiktoken": three tokens frame each
# message besides its role, and three more begin the answer.
_TOKENS_PER_MESSAGE = 3
_TOKENS_BEFORE_ANSWER = 3

_CL100K_MODELS = re.compile(r"(ft:)?(gpt-4(?![.o\d])|gpt-3\.?5|text-embedding-)")


@dataclass(frozen=True, slots=True)
class _Definition:
    """An encoding as OpenAI defines it; a test holds it against tiktoken's own."""

    name: str
    file: str
    sha256: str
    pattern: tuple[str, ...]
    special: tuple[tuple[str, int], ...]


_O200K = _Definition(
    name="o200k_base",
    file="fb374d419588a4632f3f557e76b4b70aebbca790",
    sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    pattern=(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ),
    special=(("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)),
)
_CL100K = _Definition(
    name="cl100k_base",
    file="9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    pattern=(
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    ),
    special=(
        ("<|endoftext|>", 100_257),
        ("<|fim_prefix|>", 100_258),
        ("<|fim_middle|>", 100_259),
        ("<|fim_suffix|>", 100_260),
        ("<|endofprompt|>", 100_276),
    ),
)


_BY_NAME = {definition.name: definition for definition in (_O200K, _CL100K)}


def encoding_name(model: str) -> str:
    """Return the encoding that a model or a deployment named after it uses; unknown ones use the newest."""
    return _definition(model).name


class TokenCounter:
    """Counts texts and prompts; each encoding is loaded when it is first needed, once.

    Args:
        ranks: The folder with the ranks.
    """

    def __init__(self, ranks: Path = RANKS) -> None:
        self._ranks = ranks
        self._encodings: dict[str, Encoding] = {}
        self._loading = threading.Lock()

    async def count_text(self, text: str, model: str) -> int:
        """Return the tokens of a text.

        Raises:
            ConfigurationError: The deployment lacks the model's ranks.
            PromptTooLongError: It has more than `MAX_CHARACTERS`.
        """
        return await self._count([text], model)

    async def count_texts(self, texts: Sequence[str], model: str) -> int:
        """Return the tokens of several texts together.

        Raises:
            ConfigurationError: The deployment lacks the model's ranks.
            PromptTooLongError: They have more than `MAX_CHARACTERS`.
        """
        return await self._count(texts, model)

    async def count_prompt(self, prompt: ChatPrompt) -> int:
        """Return the tokens that the model will count for a prompt, its framing included.

        What the prompt knows of its texts is not counted again.

        Raises:
            ConfigurationError: The deployment lacks the model's ranks.
            PromptTooLongError: It has more than `MAX_CHARACTERS` that are not known.
        """
        known = _known_tokens(prompt)
        parts = [part for message in prompt.messages for part in (message.role, message.content)]
        if prompt.answer_format is not None:  # the provider counts a schema as what it adds to the prompt
            parts.append(prompt.answer_format.schema_text)
        if prompt.passed is not None:
            parts += prompt.passed.counted.texts
        framed = len(prompt.messages) if prompt.passed is None else prompt.passed.counted.framed
        tokens = _TOKENS_PER_MESSAGE * framed + _TOKENS_BEFORE_ANSWER + prompt.image_tokens
        tokens += sum(known.get(part, 0) for part in parts)
        return tokens + await self._count([part for part in parts if part not in known], prompt.tokenizer)

    async def _count(self, texts: Sequence[str], model: str) -> int:
        definition = _definition(model)
        loaded = self._encodings.get(definition.name)
        characters = sum(map(len, texts))
        if characters > MAX_CHARACTERS:
            problem = f"has {characters} characters, more than {MAX_CHARACTERS}"
            raise PromptTooLongError(f"The prompt {problem}", {"max_characters": MAX_CHARACTERS})
        if loaded is not None and characters <= _LONG_TEXT:
            return _count_tokens(loaded, texts)
        return await asyncio.to_thread(lambda: _count_tokens(self._load(definition), texts))

    def _load(self, definition: _Definition) -> Encoding:
        with self._loading:
            if definition.name not in self._encodings:
                self._encodings[definition.name] = _read_encoding(self._ranks, definition)
            return self._encodings[definition.name]


def _definition(model: str) -> _Definition:
    if model in _BY_NAME:
        return _BY_NAME[model]
    return _CL100K if _CL100K_MODELS.match(model.lower()) else _O200K


def _known_tokens(prompt: ChatPrompt) -> Mapping[str, int]:
    counted = prompt.counted
    if counted is None or encoding_name(counted.tokenizer) != encoding_name(prompt.tokenizer):
        return {}
    return counted.tokens


def _count_tokens(encoding: Encoding, texts: Sequence[str]) -> int:
    # "ordinary": a caller's text that looks like a special token is text.
    return sum(len(encoding.encode_ordinary(window)) for text in texts for window in _windows(text))


def _windows(text: str) -> Iterator[str]:
    """Cut a text into windows, before a blank after a word where there is one: there a token always begins.

    Elsewhere a cut may change the count by a token or two for each window.
    """
    start = 0
    while len(text) - start > _WINDOW:
        end = _cut_before_blank(text, start, start + _WINDOW)
        yield text[start:end]
        start = end
    yield text[start:]


def _cut_before_blank(text: str, start: int, end: int) -> int:
    blank = end
    for _ in range(_MOST_TRIES):
        blank = text.rfind(" ", start + 1, blank)
        if blank < 0:
            break
        if not text[blank - 1].isspace():
            return blank
    return end


def _read_encoding(folder: Path, definition: _Definition) -> Encoding:
    from tiktoken import Encoding  # noqa: PLC0415  # costs memory and time: loads when first used

    try:
        content = (folder / definition.file).read_bytes()
    except OSError as error:
        raise ConfigurationError([_missing(definition)]) from error
    if hashlib.sha256(content).hexdigest() != definition.sha256:
        raise ConfigurationError([_missing(definition)])
    lines = (line.split() for line in content.splitlines())
    return Encoding(
        name=definition.name,
        pat_str="|".join(definition.pattern),
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in lines},
        special_tokens=dict(definition.special),
    )


def _missing(definition: _Definition) -> str:
    return f"shared/llm/ranks/{definition.file} ({definition.name})"

"""Reader of a model's answer: as much of it as can be used, and above all how much it cost.

Providers differ in the rest of an answer. An odd one must not hide the tokens that it used, which were paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.contracts import MOST_TOKENS, Usage
from shared.llm.chat_model import (
    CUT_OFF,
    Completion,
    DeclinedAnswerError,
    FilteredAnswerError,
    OutputLimitReachedError,
    UnusableAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_NAME = 128


def parse_completion(answer: object, model: str) -> Completion:
    """Read a chat completion.

    Args:
        answer: The JSON that the provider sent.
        model: The model that was asked, for an answer that names none.

    Raises:
        FilteredAnswerError: The provider's content filter stopped the answer.
        DeclinedAnswerError: The model declined to answer.
        OutputLimitReachedError: Its limit of tokens was used before any text.
        UnusableAnswerError: It has no text, or does not tell what it used.
    """
    fields = as_object(answer)
    usage = read_usage(as_object(fields.get("usage")))
    choices = fields.get("choices")
    choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
    finish_reason = read_name(choice.get("finish_reason"))
    if finish_reason == "content_filter":
        raise FilteredAnswerError(usage)
    if usage is None:
        raise UnusableAnswerError("gave a malformed answer", None)
    message = as_object(choice.get("message"))
    text = read_text(message.get("content"))
    if not text and message.get("refusal"):
        raise DeclinedAnswerError(usage)
    if not text:
        raise refuse_empty(finish_reason, usage)
    return Completion(
        replace_half_characters(text), usage, read_name(fields.get("model")) or model, finish_reason
    )


def refuse_empty(finish_reason: str | None, usage: Usage) -> UnusableAnswerError | OutputLimitReachedError:
    """Return the error of an answer without any text."""
    if finish_reason == CUT_OFF:
        return OutputLimitReachedError(usage)
    return UnusableAnswerError(f"gave no text (it finished by '{finish_reason}')", usage)


def as_object(value: object) -> dict[str, object]:
    """Return a JSON object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def read_usage(usage: Mapping[str, object]) -> Usage | None:
    """Read the tokens that were used; None where that is not told, or is what no call can use."""
    prompt, completion, total = (
        _read_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    told = [count for count in (prompt, completion, total) if count is not None]
    if not told or not all(0 <= count <= MOST_TOKENS for count in told):
        return None
    if total is not None and completion is None:  # the rest of the total; where neither is told, the prompt's
        completion = 0 if prompt is None else max(0, total - prompt)
    completion = completion or 0
    if prompt is None:
        prompt = max(0, (total or 0) - completion)
    return Usage(
        prompt_tokens=prompt,
        cached_tokens=_read_part(usage.get("prompt_tokens_details"), "cached_tokens", prompt),
        completion_tokens=completion,
        reasoning_tokens=_read_part(usage.get("completion_tokens_details"), "reasoning_tokens", completion),
        total_tokens=prompt + completion if total is None else total,
    )


def _read_part(details: object, name: str, whole: int) -> int:
    """Read a kind of tokens that is counted in a whole; nonsense is as good as none."""
    return min(max(0, _read_count(as_object(details).get(name)) or 0), whole)


def _read_count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_name(value: object) -> str | None:
    """Read a short printable name; anything else is as good as none."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        return None
    return value if value.isprintable() else None


def read_text(content: object) -> str:
    """Read a message's text: one string, or parts of which those with a text count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (as_object(part).get("text") for part in content)
    return "".join(text for text in texts if isinstance(text, str))


def replace_half_characters(text: str) -> str:
    """Replace halves of characters, as a cut answer may end with: nothing could store or send them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

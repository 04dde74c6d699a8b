"""A request for embeddings and its answer, in OpenAI's wire format."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from local.llm import expected
from local.llm.encodings import count, decode
from local.llm.errors import RefusedError
from local.llm.vectors import embed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.llm.families import EmbeddingFamily

_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_MOST_TOKENS_AT_ONCE = 300_000
_KNOWN = frozenset({"dimensions", "encoding_format", "input", "model", "user"})


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """One request for embeddings.

    Attributes:
        model: The model, or what a deployment's name stands for.
        family: What that model can do.
        texts: What to embed.
        prompt_tokens: What they count.
        dimensions: How long the vectors are to be.
        encoding: How they are written.
        user: Whom the call is made for.
    """

    model: str
    family: EmbeddingFamily
    texts: tuple[str, ...]
    prompt_tokens: int
    dimensions: int
    encoding: Literal["float", "base64"] = "float"
    user: str | None = None


def read_embedding_request(body: Mapping[str, Any], model: str, family: EmbeddingFamily) -> EmbeddingRequest:
    """Read what is asked of a model.

    Raises:
        RefusedError: OpenAI would not take it.
    """
    for name in body:
        if name not in _KNOWN:
            raise RefusedError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    encoding = _encoding(body.get("encoding_format"))
    dimensions = _dimensions(body, model, family)
    user = expected.text(body, "user")
    texts, counted = _read_input(body.get("input"), family)
    return EmbeddingRequest(model, family, texts, counted, dimensions, encoding, user)


def _encoding(sent: object) -> Literal["float", "base64"]:
    match sent:
        case None | "float":
            return "float"
        case "base64":
            return "base64"
        case _:
            raise expected.value_error("encoding_format", sent, ("float", "base64"))


def _dimensions(body: Mapping[str, Any], model: str, family: EmbeddingFamily) -> int:
    wanted = expected.whole_number(body, "dimensions", least=1)
    if wanted is None:
        return family.dimensions
    if not family.can_be_shortened:
        raise RefusedError(f"This model does not support specifying dimensions: {model}.", "dimensions")
    if wanted > family.dimensions:
        raise RefusedError(
            f"Invalid value for 'dimensions' = {wanted}. Must be less than or equal to {family.dimensions}.",
            "dimensions",
        )
    return wanted


def _read_input(sent: object, family: EmbeddingFamily) -> tuple[tuple[str, ...], int]:
    """Read texts or token ids, one or several, and count them."""
    if sent is None:
        raise expected.missing("input")
    inputs = sent if isinstance(sent, list) and not _is_ids(sent) else [sent]
    if not inputs:
        raise RefusedError("Invalid 'input': input cannot be an empty array.", "input", "empty_array")
    if len(inputs) > _MOST_INPUTS:
        raise RefusedError(
            f"Invalid 'input': array too long. Expected an array with maximum length {_MOST_INPUTS}, but got "
            f"an array with length {len(inputs)} instead.",
            "input",
            "array_above_max_length",
        )
    texts, total = [], 0
    for one in inputs:
        text, tokens = _read_one(one, family)
        if tokens > _MOST_TOKENS:
            raise RefusedError(
                f"Invalid 'input': maximum input length is {_MOST_TOKENS} tokens, and this has {tokens}.",
                "input",
                "context_length_exceeded",
            )
        total += tokens
        if total > _MOST_TOKENS_AT_ONCE:
            raise RefusedError(
                f"Invalid 'input': maximum request size is {_MOST_TOKENS_AT_ONCE} tokens per request.",
                "input",
            )
        texts.append(text)
    return tuple(texts), total


def _read_one(one: object, family: EmbeddingFamily) -> tuple[str, int]:
    if isinstance(one, str):
        if not one:
            raise RefusedError("Invalid 'input': input cannot be an empty string.", "input")
        return one, count(family.encoding, one)
    if isinstance(one, list) and _is_ids(one):
        return _read_ids(one, family), len(one)
    raise expected.type_error(
        "input", one, "a string, an array of strings, an array of tokens or an array of token arrays"
    )


def _is_ids(sent: Sequence[object]) -> bool:
    return bool(sent) and all(isinstance(one, int) and not isinstance(one, bool) for one in sent)


def _read_ids(ids: list[int], family: EmbeddingFamily) -> str:
    if len(ids) > _MOST_TOKENS:
        return ""  # refused by its length, before it is read
    text = decode(family.encoding, ids)
    if text is None:
        raise RefusedError("Invalid 'input': it has a token that is not one of this model's.", "input")
    return text


def write_embeddings(request: EmbeddingRequest, model: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    """Write the answer, with the vectors of all texts in their order."""
    data = [
        {"object": "embedding", "index": index, "embedding": _write(request, text)}
        for index, text in enumerate(request.texts)
    ]
    return {"object": "list", "data": data, "model": model, "usage": usage}


def usage_of(request: EmbeddingRequest) -> dict[str, int]:
    """Write what a request is counted as."""
    return {"prompt_tokens": request.prompt_tokens, "total_tokens": request.prompt_tokens}


def _write(request: EmbeddingRequest, text: str) -> list[float] | str:
    vector = embed(text, request.family.dimensions, request.dimensions)
    packed = struct.pack(f"<{len(vector)}f", *vector)
    if request.encoding == "base64":
        return base64.b64encode(packed).decode()
    # As single precision has them, so that both ways of writing say the same.
    return list(struct.unpack(f"<{len(vector)}f", packed))

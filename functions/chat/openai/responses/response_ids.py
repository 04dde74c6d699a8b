"""Ids of responses: each tells where its response stands, so that reading one is one point read.

A response that goes on with another one belongs to its conversation. The first one to do so stands behind it
on the same branch, at the next depth; another one begins a branch of its own there.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Self

RESPONSE_ID_PATTERN = r"^resp_[0-9a-f]{48}$"

_CONVERSATION_DIGITS = 24
_BRANCH_DIGITS = 16
_DEPTH_DIGITS = 8
_RESPONSE = re.compile(r"resp_([0-9a-f]{24})([0-9a-f]{16})([0-9a-f]{8})")
_ITEM = re.compile(r"(?:msg|fc|fco|rs)_([io])([0-9a-f]{48})([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class ResponseId:
    """Place of a response.

    Attributes:
        conversation: The conversation's id, 24 hexadecimal digits.
        branch: The branch's id within it, 16 hexadecimal digits.
        depth: How many responses lead to it, itself included.
    """

    conversation: str
    branch: str
    depth: int = 1

    @classmethod
    def new(cls, operation_id: str | None = None) -> Self:
        """Return the id of a response that begins a conversation.

        Args:
            operation_id: What an Idempotency-Key stands for, 32 hexadecimal digits: the same gives one id.
        """
        seed = operation_id or secrets.token_hex(_CONVERSATION_DIGITS // 2)
        return cls(seed[:_CONVERSATION_DIGITS], new_branch(operation_id))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an id; None where it is none."""
        written = _RESPONSE.fullmatch(text)
        return None if written is None else cls(written[1], written[2], int(written[3], 16))

    def next_on(self, branch: str) -> Self:
        """Return the id of a response that goes on with this one, on this branch or another one."""
        return type(self)(self.conversation, branch, self.depth + 1)

    @property
    def digits(self) -> str:
        """Return what tells this response from all others."""
        return f"{self.conversation}{self.branch}{self.depth:0{_DEPTH_DIGITS}x}"

    def output_item(self, kind: str, index: int) -> str:
        """Return the id of an item of its output; `kind` is `msg`, `fc` or `rs`."""
        return f"{kind}_o{self.digits}{index}"

    def input_item(self, kind: str, index: int) -> str:
        """Return the id of an item of its input; `kind` is `msg`, `fc`, `fco` or `rs`."""
        return f"{kind}_i{self.digits}{index}"

    def __str__(self) -> str:
        """Write it."""
        return f"resp_{self.digits}"


@dataclass(frozen=True, slots=True)
class ItemId:
    """Place of an item that is stored with a response.

    Attributes:
        response: The response.
        is_input: Whether it is of its input, else of its output.
        index: Its place there, from 0.
    """

    response: ResponseId
    is_input: bool
    index: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an item's id; None where it is none of ours."""
        written = _ITEM.fullmatch(text)
        response = None if written is None else ResponseId.parse(f"resp_{written[2]}")
        if written is None or response is None:
            return None
        return cls(response, written[1] == "i", int(written[3]))


def new_branch(operation_id: str | None = None) -> str:
    """Return a branch's id; the same for the same operation."""
    return operation_id[-_BRANCH_DIGITS:] if operation_id else secrets.token_hex(_BRANCH_DIGITS // 2)

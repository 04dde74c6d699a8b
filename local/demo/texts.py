"""Texts of the demo, out of `texts.json`: companies, what they talk about, and what the stand-in answers.

All of it is invented; a likeness to anybody is chance.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

_FILE = Path(__file__).with_name("texts.json")


class _Text(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Company(_Text):
    """A tenant; `size` is how many times it is as busy as a small one."""

    name: str
    industry: str
    tier: Literal["free", "standard", "premium", "own"]
    size: float


class Dialogue(_Text):
    """A conversation: pairs of question and answer."""

    title: str
    turns: tuple[tuple[str, str], ...]


class Industry(_Text):
    """A branch of trade: its bots with what they are for, and what people ask them."""

    bots: tuple[tuple[str, str], ...]
    dialogues: tuple[Dialogue, ...]


class PromptTopic(_Text):
    """A prompt: the lines of its first version, and the rules that later versions add one by one."""

    name: str
    description: str
    tags: tuple[str, ...]
    lines: tuple[str, ...]
    rules: tuple[str, ...]


class Remark(_Text):
    """A feedback and its analysis."""

    language: str
    text: str
    hashtag: str
    category: str
    summary: str


class Task(_Text):
    """A text to reason about, with `{company}` in it, and the answers of each way to reason."""

    text: str
    analysis: str
    summary: str
    steps: tuple[str, ...]


class Texts(_Text):
    """All texts of the demo."""

    companies: tuple[Company, ...]
    people: tuple[str, ...]
    industries: dict[str, Industry]
    prompts: tuple[PromptTopic, ...]
    global_prompts: tuple[PromptTopic, ...]
    feedback: tuple[Remark, ...]
    personal_feedback: Remark
    tasks: tuple[Task, ...]


@cache
def texts() -> Texts:
    """Return the texts."""
    return Texts.model_validate_json(_FILE.read_text(encoding="utf-8"))

"""Examples of the API document: one request to each operation and its answer, as they were recorded.

    python -m tests.contract

sends the requests to the app in memory and writes the file; a test sends them again and compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue


class RecordedExample(BaseModel):
    """One request and its answer.

    Attributes:
        operation: The operation's id.
        caller: Who sends it: `admin`, `tenant_admin`, `user`; None where no key is needed.
        path: Parameters of the path.
        query: Parameters of the query.
        headers: Headers of the request, but for the credential.
        body: The body that is sent; None where there is none.
        status: The status of the answer.
        answer: The body of the answer; a text where it is not JSON, None where it is empty.
        excerpt: Whether `answer` holds only some of the answer's members, or its beginning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str
    caller: str | None = None
    path: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    status: int
    answer: Any = None
    excerpt: bool = False

    def find_parameter(self, where: str, name: str, schema: Mapping[str, Any]) -> JsonValue:
        """Return what is sent for a parameter, of the type that its schema names; None where nothing is."""
        sent = {"path": self.path, "query": self.query, "header": self.headers}[where].get(name)
        if sent is not None and schema.get("type") == "integer":
            return int(sent)
        if sent is not None and schema.get("type") == "boolean":
            return sent == "true"
        return sent


class RecordedExamples(BaseModel):
    """Examples of all operations, in the order in which they are sent.

    Attributes:
        stand_ins: Values that are others in each run, such as ids that are made up, as they are shown.
        examples: The requests and their answers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stand_ins: list[str]
    examples: list[RecordedExample]

    def by_operation(self) -> dict[str, RecordedExample]:
        """Return each operation's example by the operation's id."""
        return {one.operation: one for one in self.examples}


def read_examples(file: Path) -> RecordedExamples:
    """Read the recorded examples."""
    return RecordedExamples.model_validate_json(file.read_bytes())

"""Generated prompts, and every way to write one to a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tenantry_client.prompts.models import PromptFile
from tenantry_client.prompts.yaml_text import write_yaml

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

TEXTS = st.text(min_size=1, max_size=200).map(lambda text: text.replace("{", "{{").replace("}", "}}"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "template": TEXTS
        | st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": TEXTS}),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "description": st.text(max_size=50),
        "tags": st.lists(st.text(min_size=1, max_size=20), max_size=3),
        "config": st.dictionaries(st.text(max_size=10), JSON, max_size=3),
    },
)

PIECES = (
    *(
        "word",
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "---",
        "---\n",
        "\n---\n",
        "...",
        "{{",
        "}}",
        "{name}",
    ),
    *(
        "{who}",
        '"',
        "'",
        "\\",
        ":",
        ": ",
        "- ",
        "# ",
        "|",
        ">",
        "&a",
        "*a",
        "!x",
        "%",
        "@",
        "`",
        "null",
        "true",
    ),
    *(
        "1.0",
        "0o7",
        "2026-01-01",
        "\ufeff",
        "\u2028",
        "\u2029",
        "\x85",
        "\x00",
        "\x07",
        "\xa0",
        "\u200b",
        "é",
    ),
    *(
        "日本語",
        "العربية",
        "🙂",
        "e\u0301",
        "\U0010ffff",
        "\ud7ff",
        "\ue000",
        "\ufffd",
        "```yaml\n",
        "<!-- -->",
    ),
)
NEWLINES = ("\n", "\r\n", "\r")
BEFORE = ("", "\ufeff", "\ufeff\ufeff", "\n", " \t\n\n", "\ufeff\n", "\n\ufeff")
AFTER_DASHES = ("", " ", "\t", "  \t ")
BROKEN: tuple[Callable[[str], str], ...] = (
    lambda text: text.replace("\n---", "\n--- end", 1),
    lambda text: text.replace("---", "----", 1),
    lambda text: text.replace("---", " ---", 1),
    lambda text: text.replace("---", "—", 1),
    lambda text: text.replace("---", "--", 1),
    lambda text: text.replace("---", "+++", 1),
    lambda text: text.replace("---", "---\xa0", 1),
    lambda text: text.replace("---\n", "```yaml\n", 1),
    lambda text: text.replace("---\n", "", 1),
    lambda text: text.replace("---\n", "---\nname: [\n", 1),
    lambda text: text.replace("---\n", "---\ntenant_id: victim\n", 1),
    lambda text: text.replace("---\n", "---\n- a\n", 1),
)
SUFFIXES = (".md", ".MD", ".Md", ".markdown", ".MARKDOWN")
YAML_SUFFIXES = (".yaml", ".yml", ".YAML", ".Yml")
FOLDERS = ("", "support/", "support/mail/", "Über uns/")


@dataclass(frozen=True)
class GeneratedFile:
    """A file, and the prompt that it says; None where it is to be refused."""

    path: str
    content: bytes
    prompt: PromptFile | None


@dataclass
class FileGenerator:
    """Files of prompts, the same for the same seed."""

    chance: random.Random
    made: int = field(default=0)

    def make(self) -> GeneratedFile:
        """Make the next one."""
        self.made += 1
        name = f"p{self.made:05}"
        folder = self.chance.choice(FOLDERS)
        if self.chance.random() < 0.2:
            return self._yaml(name, folder)
        return self._markdown(name, folder)

    def _text(self) -> str:
        return "".join(self.chance.choices(PIECES, k=self.chance.randrange(1, 20)))

    def _value(self, level: int = 0) -> Any:  # noqa: ANN401  # JSON of any shape
        leaves: list[Callable[[], object]] = [
            self._text,
            lambda: self.chance.choice([True, False, None]),
            lambda: self.chance.randrange(-(2**53) + 1, 2**53),
            lambda: self.chance.uniform(-1e6, 1e6),
            lambda: self.chance.choice(["yes", "~", "1e3", "12:30:00", "0x1f", "=", "<<", ""]),
        ]
        nested: list[Callable[[], object]] = [
            lambda: [self._value(level + 1) for _ in range(self.chance.randrange(4))],
            lambda: {self._text(): self._value(level + 1) for _ in range(self.chance.randrange(4))},
        ]
        return self.chance.choice(leaves + nested if level < 3 else leaves)()

    def _fields(self, name: str) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.chance.random() < 0.5:
            fields["name"] = name
        if self.chance.random() < 0.4:
            fields["description"] = self._text()
        if self.chance.random() < 0.4:
            fields["tags"] = [self._text()[:64] for _ in range(self.chance.randrange(4))]
        if self.chance.random() < 0.4:
            fields["config"] = {self._text(): self._value() for _ in range(self.chance.randrange(1, 4))}
        return fields

    def _yaml(self, name: str, folder: str) -> GeneratedFile:
        roles = ("system", "user", "assistant")
        template: Any = [
            {"role": self.chance.choice(roles), "content": self._text()}
            for _ in range(self.chance.randrange(1, 4))
        ]
        if self.chance.random() < 0.3:
            template = self._text()
        fields = self._fields(name) | {"template": template}
        content = self._encode(self.chance.choice(("", "\ufeff")) + write_yaml(fields))
        path = f"{folder}{name}{self.chance.choice(YAML_SUFFIXES)}"
        return self._file(path, content, {"name": name} | fields)

    def _markdown(self, name: str, folder: str) -> GeneratedFile:
        fields, text = self._fields(name), self._text()
        front = write_yaml(fields) if fields else ""
        opening, closing = (f"---{self.chance.choice(AFTER_DASHES)}\n" for _ in range(2))
        content = opening + front + closing + text + "\n"
        path = f"{folder}{name}{self.chance.choice(SUFFIXES)}"
        if self.chance.random() < 0.2:
            broken = self.chance.choice(BROKEN)("---\n" + front + "---\nHello\n")
            return GeneratedFile(path, self._encode(broken), None)
        if self.chance.random() < 0.1:
            wide = self.chance.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"))
            return GeneratedFile(path, content.encode(wide), None)
        before = self.chance.choice(BEFORE)
        template = text.replace("\r\n", "\n").replace("\r", "\n")
        # A carriage return at the end and the newline that ends the file are one line end.
        template = template if not text.endswith("\r") else template.removesuffix("\n")
        prompt = {"name": name} | fields | {"template": template}
        return self._file(path, self._encode(before + content), prompt)

    def _encode(self, text: str) -> bytes:
        """Write a text with one kind of line ends; those that are there already stay."""
        newline = self.chance.choice(NEWLINES)
        return text.replace("\r\n", "\x1a").replace("\n", newline).replace("\x1a", "\r\n").encode()

    def _file(self, path: str, content: bytes, prompt: dict[str, Any]) -> GeneratedFile:
        return GeneratedFile(path, content, PromptFile.model_validate(prompt) if prompt["template"] else None)

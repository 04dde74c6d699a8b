"""YAML is bounded in time before it is built, by both of PyYAML's parsers, which read the same."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantry_client.errors import InvalidPromptFileError
from tenantry_client.prompts import yaml_text
from tenantry_client.prompts.yaml_text import MAX_LEVELS, build_loader, read_yaml, write_yaml
from tests.support.cpu_time import LeastTime
from tests.support.soak import REPEATABLE, SOAK, sized
from tests.unit_tests.tenantry_client.prompts import JSON

UNITS = (
    *(
        "[",
        "{",
        "- ",
        "? ",
        "a: ",
        "!",
        "&a ",
        "*a ",
        "'",
        '"',
        "|\n",
        "1:",
        "-",
        "\n",
        " ",
        "\t",
        "#",
        "a,",
        "[a,",
    ),
    *(
        "{a: 1,",
        "0b1",
        "1_",
        "|+\n\n",
        "- - ",
        "\\",
        "---\n",
        "...\n",
        "a:\n ",
        "- [",
        "<<: {",
        "\x85",
        "\x00",
        "{},",
    ),
)


@pytest.fixture(params=["libyaml", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    chosen = yaml.CSafeLoader if name == "libyaml" else yaml.SafeLoader
    monkeypatch.setattr(yaml_text, "_loader", build_loader(chosen))
    return name


def outcome(text: str) -> object:
    try:
        return read_yaml(text)
    except InvalidPromptFileError as error:
        return error


@sized(120)
@pytest.mark.parametrize("parser", ["libyaml", "python"], indirect=True)
@pytest.mark.slow
def test_no_file_of_50_kb_takes_long(parser: str) -> None:
    size = 50_000 if SOAK or parser == "libyaml" else 5_000
    prefixes = ("", "x: ", "x: [", 'x: "') if SOAK else ("", "x: [")
    floods = [prefix + unit * (size // len(unit)) for unit in UNITS for prefix in prefixes]
    least = LeastTime(len(floods))  # one took 52 s; they have a second each on the slowest machine
    for _ in least.tries():
        for text in floods:
            outcome(text)

    assert least.seconds < len(floods)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")])
@pytest.mark.usefixtures("parser")
def test_nesting_has_a_bound(opening: str, closing: str) -> None:
    refused = outcome(opening * 50_000 + closing * 50_000)

    assert isinstance(refused, InvalidPromptFileError)
    assert "nested too deeply" in refused.message


@pytest.mark.usefixtures("parser")
def test_what_a_prompt_can_hold_is_within_the_bounds() -> None:
    text = "config: " + "[" * (MAX_LEVELS - 1) + "]" * (MAX_LEVELS - 1)

    assert list(read_yaml(text)) == ["config"]


@REPEATABLE
@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4))
@pytest.mark.slow
def test_json_values_come_back_as_they_were_from_either_parser(facts: dict[str, Any]) -> None:
    text = write_yaml(facts)

    assert read_yaml(text) == facts
    assert yaml.load(text, Loader=build_loader(yaml.SafeLoader)) == facts  # noqa: S506  # a safe one

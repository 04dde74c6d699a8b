"""Route templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.paths import split_path
from local.host.routing import RouteError, parse_route


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("api/ping", "/api/ping", {}),
        ("api/ping", "/API/Ping/", {}),
        ("api/ping", "/api/pong", None),
        ("api/ping", "/api", None),
        ("api/ping", "/api/ping/more", None),
        ("", "/", {}),
        ("a/{id}", "/a/J%C3%BCrgen", {"id": "Jürgen"}),
        ("a/{id}", "/a//", None),
        ("a/{id}", "/a//b", None),
        ("a/{id?}", "/a", {}),
        ("a/{id?}", "/a/x", {"id": "x"}),
        ("a/{id=7}", "/a", {"id": "7"}),
        ("a/{id=7}/{b?}", "/a", {"id": "7"}),
        ("a/{id:int=7}", "/a/8", {"id": "8"}),
        ("a/{id:int=7}", "/a", {"id": "7"}),
        ("a/{id:int?}", "/a", {}),
        ("a/{id:int?}", "/a/b", None),
        ("a/{*rest}", "/a/b/c%20d", {"rest": "b/c d"}),
        ("a/{name}.{ext}", "/a/b%0Ac.txt", {"name": "b\nc", "ext": "txt"}),
        ("a/{*rest}", "/a", {}),
        ("a/{*rest=x}", "/a", {"rest": "x"}),
        ("a/{*rest:minlength(3)}", "/a/b", None),
        ("a/{name}.{ext}", "/a/file.tar.gz", {"name": "file.tar", "ext": "gz"}),
        ("a/{name}.{ext}", "/a/file", None),
        ("a/v{major:int}-{rest}", "/a/v2-x", {"major": "2", "rest": "x"}),
        ("a/v{major:int}-{rest}", "/a/vb-x", None),
    ],
)
def test_a_template_takes_the_paths_it_means(
    template: str, path: str, expected: dict[str, str] | None
) -> None:
    assert parse_route(template).match(path) == expected


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        ("int", "-12", "2147483648"),
        ("long", "2147483648", "9223372036854775808"),
        ("bool", "True", "1"),
        ("datetime", "2026-01-31T10:30:00", "soon"),
        ("decimal", "1.5", "1.5.5"),
        ("double", "1e3", "x"),
        ("float", "1.5", "x"),
        ("guid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("alpha", "abc", "a1"),
        ("required", "x", None),
        ("length(3)", "abc", "ab"),
        ("length(1,2)", "ab", "abc"),
        ("minlength(2)", "ab", "a"),
        ("maxlength(2)", "ab", "abc"),
        ("min(5)", "5", "4"),
        ("max(5)", "5", "6"),
        ("range(2,3)", "2", "4"),
        ("range(2,3)", "3", "x"),
        (r"regex(^\d{{2}}/?$)", "12", "123"),
    ],
)
def test_a_constraint_decides(constraint: str, good: str, bad: str | None) -> None:
    route = parse_route(f"x/{{value:{constraint}}}")
    assert route.match(f"/x/{good}") == {"value": good}
    if bad is not None:
        assert route.match(f"/x/{bad}") is None


@pytest.mark.parametrize(
    "template",
    [
        "a/{",
        "a/{id",
        "{*rest}/b",
        "{a}/{A}",
        "{1x}",
        "{id:nonsense}",
        "{id:length(x)}",
        "{id:range(1)}",
        "a//b",
    ],
)
def test_a_broken_template_is_refused(template: str) -> None:
    with pytest.raises(RouteError):
        parse_route(template)


def test_literals_go_before_constrained_plain_and_catch_all_parameters() -> None:
    templates = ["a/{*rest}", "a/{id}", "a/b", "a/{id:int}", "a/x{id}"]
    ordered = sorted((parse_route(template) for template in templates), key=lambda route: route.precedence)
    assert [route.template for route in ordered] == ["a/b", "a/x{id}", "a/{id:int}", "a/{id}", "a/{*rest}"]


@given(st.text(max_size=30))
def test_no_path_breaks_a_match(path: str) -> None:
    parse_route("a/{id:int}/{name}.{ext}/{*rest}").match(path)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/items/a%2Fb", ["items", "a%2Fb"]),
        ("/items/a%2fb%20c", ["items", "a%2fb c"]),
        ("/items/%C3%BC%2F%C3%BC", ["items", "ü%2Fü"]),
        ("/items/a%252Fb", ["items", "a%2Fb"]),
        ("/items/%FFa%C3", ["items", "%FFa%C3"]),
        ("/items/100%", ["items", "100%"]),
    ],
)
def test_an_escaped_slash_and_broken_utf_8_stay_as_kestrel_leaves_them(
    path: str, segments: list[str]
) -> None:
    assert split_path(path) == segments


@pytest.mark.parametrize("template", ["api/tokens", "api/tokens-{id}", "api/v{n}.tokens"])
def test_only_ascii_letters_are_the_same_in_both_cases(template: str) -> None:
    route = parse_route(template)
    path = template.replace("{id}", "1").replace("{n}", "1")

    assert route.match(path.upper()) is not None
    assert route.match(path.replace("k", "%E2%84%AA")) is None  # the Kelvin sign
    assert route.match(path.replace("s", "%C5%BF")) is None  # the long s


@given(st.text(max_size=20).filter(lambda text: "/" not in text and text not in {"", ".", ".."}))
def test_every_text_but_a_slash_comes_back_from_its_escapes(text: str) -> None:
    if all(ord(character) < 0xD800 or ord(character) > 0xDFFF for character in text):
        escaped = "".join(f"%{byte:02X}" for byte in text.encode())
        assert split_path(f"/a/{escaped}") == ["a", text]

"""The console as it is served: one page, files that never change, a policy without exceptions."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from functions.console.assets import ENTRY, LIBRARIES, LIBRARY_NAMES, Assets, StaticFile, drop_comments
from functions.console.errors import AssetNotFoundError, ConsoleNotInstalledError
from functions.console.trigger import STATIC
from tests.support.fakes import Answer, Call
from tests.support.whole_app import whole_app
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SUMS = ROOT / "local" / "setup" / "console" / "SHA256SUMS"
FIRST_PAGE_BYTES = 40_000
FILES_AT_ONCE = 4
"""A browser has six connections to an origin over HTTP/1.1; who is signed in is asked at the same time."""

PROVIDER = {
    "OIDC_ISSUER": "https://login.example.com/acme/v2.0",
    "OIDC_AUDIENCE": "api://tenantry",
    "OIDC_CONSOLE_CLIENT_ID": "console-client",
    "OIDC_CONSOLE_SCOPES": "openid api://tenantry/.default",
}


async def page(headers: Mapping[str, str] | None = None, query: str = "") -> Answer:
    async with whole_app() as app:
        return await app.client.call("console", Call(headers=headers or {}, query=query))


async def file(release: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    async with whole_app() as app:
        return await app.client.call(
            "console_file", Call(path={"release": release, "path": path}, headers=headers or {})
        )


def assets() -> Assets:
    return Assets.read(STATIC)


async def test_the_page_admits_no_script_but_its_files_and_its_own_two() -> None:
    answer = await page()
    scripts = re.findall(r"<script[^>]*>(.+?)</script>", answer.body.decode(), re.DOTALL)
    sums = " ".join(f"'sha256-{_sum(script)}'" for script in scripts)
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
    )

    assert policy == {
        "default-src": "'none'",
        "script-src": f"'self' {sums}",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert len(scripts) == 2
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"


def _sum(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def import_map(html: str) -> dict[str, str]:
    [found] = re.findall(r'<script type="importmap">(.*?)</script>', html)
    imports: dict[str, str] = json.loads(found)["imports"]
    return imports


def loaded(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', html)


async def test_the_page_loads_files_of_its_release_alone() -> None:
    html = (await page()).body.decode()
    base = f"/api/console/a/{assets().release}/"

    named = [*loaded(html), *import_map(html).values()]

    assert all(one.startswith(base) and one.removeprefix(base) in assets().files for one in named)
    assert "{" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


async def test_all_that_the_first_page_runs_is_asked_for_at_once() -> None:
    html = (await page()).body.decode()
    base = f"/api/console/a/{assets().release}/"
    files = [one.removeprefix(base) for one in loaded(html)]
    sent = assets().files[ENTRY].content.decode()

    assert files == ["icon.svg", "app.css", LIBRARIES, ENTRY]
    assert len(files) <= FILES_AT_ONCE
    assert set(re.findall(r'^import .* from "(.*)";', sent, re.MULTILINE)) <= set(LIBRARY_NAMES)
    assert 0 < html.index("/api/v1/me") < html.index("app.css"), (
        "a style sheet holds up the scripts behind it"
    )


async def test_a_module_that_is_sent_with_the_first_is_found_under_its_own_path_too() -> None:
    read = assets()
    imports = import_map((await page()).body.decode())
    base = f"/api/console/a/{read.release}/"

    assert read.joined[-1] == ENTRY
    assert {"lib/api.js", "lib/ui.js", "pages/overview.js"} <= set(read.joined)
    assert imports == {
        **dict.fromkeys(LIBRARY_NAMES, base + LIBRARIES),
        **{base + name: base + ENTRY for name in read.joined if name != ENTRY},
    }
    assert not set(read.joined[:-1]) & read.files.keys()
    assert {"pages/settings.js", "pages/prompts.js", "lib/form.js", "lib/palette.js"} <= read.files.keys()


def test_each_module_of_the_first_page_is_sent_as_it_is_but_for_its_imports() -> None:
    read = assets()
    sent = read.files[ENTRY].content.decode()

    for name in read.joined:
        own = drop_comments((STATIC / name).read_bytes()).decode()
        body = re.sub(r"^import .*\n", "", own, flags=re.MULTILINE).strip()
        assert re.sub(r'import\("[./]+/', 'import("./', body) in re.sub(
            r'import\("[./]+/', 'import("./', sent
        ), name


async def test_with_a_page_all_that_it_leads_to_is_asked_for() -> None:
    """A browser would find them one after the other, each of them half a second later on a slow network."""
    read = assets()
    answer = await file(read.release, "pages/prompt.js")
    named = re.findall(r"<\.\./([^>]+)>; rel=modulepreload", answer.headers["link"])

    assert {"lib/merge.js", "lib/diff.js", "lib/form.js", "lib/schema.js", "pages/prompt_editor.js"} <= set(
        named
    )
    assert set(named) <= read.files.keys() - {ENTRY, "pages/prompt.js"}
    assert answer.headers["link"].count(",") == len(named) - 1
    for alone in ("app.js", "app.css", "lib/schema.js"):
        assert "link" not in (await file(read.release, alone)).headers


async def test_the_first_page_is_small() -> None:
    """It leaves a third of 60 kB for headers and for what the page asks the API."""
    html = await page({"accept-encoding": "gzip"})
    names = [one.rpartition(f"{assets().release}/")[2] for one in loaded((await page()).body.decode())]
    packed = [assets().files[name].packed or assets().files[name].content for name in names]

    assert len(html.body) + sum(map(len, packed)) <= FIRST_PAGE_BYTES


async def test_a_file_is_kept_for_ever_and_the_page_is_asked_for_again() -> None:
    answer = await file(assets().release, "lib/form.js")

    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.body == drop_comments((STATIC / "lib" / "form.js").read_bytes())
    assert (await page()).headers["cache-control"] == "no-cache"


async def test_who_has_a_file_already_is_told_so_without_it() -> None:
    first = await page()
    etag = first.headers["etag"]

    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await page({"if-none-match": known})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    assert (await page({"if-none-match": '"other"'})).status == 200


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "deflate, gzip;q=1.0, *;q=0.5"])
async def test_a_file_is_packed_for_who_takes_gzip(accepted: str) -> None:
    answer = await file(assets().release, "app.css", {"accept-encoding": accepted})

    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert gzip.decompress(answer.body) == drop_comments((STATIC / "app.css").read_bytes())


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "gzip; q=0.0", "xgzip", "br"])
async def test_a_file_is_sent_as_it_is_to_who_does_not(accepted: str) -> None:
    answer = await file(assets().release, "app.css", {"accept-encoding": accepted})

    assert "content-encoding" not in answer.headers
    assert answer.body == drop_comments((STATIC / "app.css").read_bytes())


@pytest.mark.parametrize(
    "path",
    [
        "../trigger.py",
        "lib/../../trigger.py",
        "..%2ftrigger.py",
        "lib/../app.js",
        "/etc/passwd",
        "lib\\form.js",
        "index.html",
        "begin.js",
        "LIB/form.js",
        "lib",
        "lib/",
        "lib/form.js\0",
        "lib/form.js/",
        "x" * 5_000,
    ],
)
async def test_no_path_leads_to_another_file(path: str) -> None:
    answer = await file(assets().release, path)

    assert (answer.status, answer.json()["error"]) == (404, "AssetNotFoundError")
    assert len(answer.body) < 1_000


async def test_another_release_has_no_files() -> None:
    answer = await file("0" * 16, "app.js")

    assert answer.status == 404
    assert "load the page again" in answer.json()["message"]


@pytest.mark.parametrize("path", ["console", "console/config.json", "console/a/abc/app.js", "Console"])
async def test_the_console_is_read_and_nothing_else(path: str) -> None:
    async with whole_app() as app:
        answer = await app.client.call("unknown_route", Call(method="POST", path={"rest": path}))

    assert (answer.status, answer.headers["allow"]) == (405, "GET")


async def test_who_comes_back_from_a_provider_gets_the_page_whatever_it_added() -> None:
    assert (await page(query="code=a&state=b&session_state=c&iss=https%3A%2F%2Fx")).status == 200


async def test_without_a_provider_keys_are_the_only_way_to_sign_in() -> None:
    async with whole_app() as app:
        answer = await app.must("console_sign_in", Call())

    assert answer.json() == {"issuer": None, "client_id": None, "scopes": None}


async def test_with_a_provider_the_page_knows_it_and_may_ask_it() -> None:
    async with whole_app(**PROVIDER) as app:
        told = (await app.must("console_sign_in", Call())).json()
        html = await app.must("console", Call())

    assert told == {
        "issuer": PROVIDER["OIDC_ISSUER"],
        "client_id": "console-client",
        "scopes": PROVIDER["OIDC_CONSOLE_SCOPES"],
    }
    assert "connect-src 'self' https://login.example.com;" in html.headers["content-security-policy"]


async def test_the_console_is_no_part_of_the_api() -> None:
    async with whole_app() as app:
        described = (await app.must("openapi", Call())).json()

    assert not [path for path in described["paths"] if "console" in path]


def test_the_libraries_are_those_that_were_looked_at() -> None:
    lines = [line.split("  ") for line in SUMS.read_text().splitlines()]
    wanted = {name: digest for digest, name in lines}
    vendor = STATIC / "vendor"
    assert vendor.is_dir(), "local/setup/console.sh puts them there; so does make setup"

    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.iterdir()} == wanted


def test_without_the_libraries_the_console_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("")

    with pytest.raises(ConsoleNotInstalledError, match=re.escape("make setup: vendor/libraries.js")):
        Assets.read(tmp_path)


def test_comments_are_left_out_and_each_line_keeps_its_number() -> None:
    lines = (
        b"/** What",
        b" * it is. */",
        b'const one = "/* no comment */"; /* same line */',
        b"/* before code */ run();",
        b"  /* own line */",
        b"const two = 2;",
    )

    sent = drop_comments(b"\n".join(lines)).split(b"\n")

    assert sent == [b"", b"", lines[2], lines[3], b"", lines[5]]


def test_what_grows_by_packing_is_sent_as_it_is() -> None:
    small = StaticFile.of(b"x", {})

    assert small.packed is None
    assert small.answer(None, accepts_gzip=True).content == b"x"


@pytest.mark.parametrize("name", ["app.js", "lib/a.js", "begin.js", "index.html", LIBRARIES])
def test_each_change_of_a_file_is_another_release(tmp_path: Path, name: str) -> None:
    texts = {"app.js": 'import { a } from "./lib/a.js";\n', "lib/a.js": "export const a = 1;\n"}
    for path in ("begin.js", "index.html", LIBRARIES, *texts):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(texts.get(path, ""))
    before = Assets.read(tmp_path)
    with (tmp_path / name).open("a") as changed:
        changed.write("two();\n")
    after = Assets.read(tmp_path)

    assert before.release != after.release
    assert after.find(after.release, "app.js").content.startswith(b"// lib/a.js\nexport const a = 1;\n")
    with pytest.raises(AssetNotFoundError):
        after.find(before.release, "app.js")

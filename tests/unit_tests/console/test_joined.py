"""Modules as one: in the order in which a browser runs them, with no name lost and none declared twice."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from functions.console.assets import ENTRY, Assets
from functions.console.modules import join_modules, order_modules
from functions.console.trigger import STATIC

if TYPE_CHECKING:
    from pathlib import Path

APP = """
import { h } from "preact";
import { b } from "./lib/b.js";
run(b, () => import("./pages/p.js"));
"""
B = """
import { a } from "./a.js";
import * as all from "./c.js";
import { d as e } from "./d.js";
export const b = a;
"""
MODULES = {
    "app.js": APP.encode(),
    "lib/a.js": b'import { Component, h } from "preact";\nexport const a = h(Component);\n',
    "lib/b.js": B.encode(),
    "lib/c.js": b"",
    "lib/d.js": b"export const d = 1;\n",
    "pages/p.js": b'export { a } from "../lib/a.js";\n',
    "pages/q.js": b"never();\n",
}


def test_each_module_stands_behind_what_it_imports_once() -> None:
    assert order_modules(MODULES, ["app.js", "pages/p.js"]) == [
        *("lib/a.js", "lib/c.js", "lib/d.js", "lib/b.js", "app.js", "pages/p.js")
    ]


def test_modules_that_import_each_other_are_found_once() -> None:
    circle = {"a.js": b'import { b } from "./b.js";\n', "b.js": b'import { a } from "./a.js";\n'}

    assert order_modules(circle, ["a.js"]) == ["b.js", "a.js"]


def test_what_is_joined_needs_no_import_and_what_is_not_keeps_its_own() -> None:
    joined = join_modules(MODULES, ["lib/a.js", "lib/b.js", "app.js"], "app.js")

    assert joined.decode().splitlines() == [
        'import { Component, h } from "preact";',
        "// lib/a.js",
        "export const a = h(Component);",
        "// lib/b.js",
        'import * as all from "./lib/c.js";',
        'import { d as e } from "./lib/d.js";',
        "export const b = a;",
        "// app.js",
        'run(b, () => import("./pages/p.js"));',
    ]


def test_what_a_module_imports_of_one_that_is_not_joined_is_named_from_its_new_place() -> None:
    joined = join_modules(MODULES, ["pages/p.js"], "lib/deep/all.js")

    assert joined.decode() == '// pages/p.js\nexport { a } from "../a.js";\n'


def test_no_two_modules_of_the_first_page_declare_one_name(tmp_path: Path) -> None:
    """Node reads it as the browser does: a name that is declared twice is an error of its syntax."""
    node = shutil.which("node")
    assert node is not None, "Node 20 is part of the set-up"
    read = tmp_path / "first.mjs"
    read.write_bytes(Assets.read(STATIC).files[ENTRY].content)

    done = subprocess.run([node, "--check", read], capture_output=True, text=True, check=False)  # noqa: S603  # Node, with a file of our own

    assert done.returncode == 0, done.stderr

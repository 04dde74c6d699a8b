"""A tenant that has written HTML wherever it can write a text: on no page may it be more than a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.integration_tests.platform import Caller, wait_for

if TYPE_CHECKING:
    from tests.integration_tests.console.estate import Estate
    from tests.integration_tests.platform import Platform

MARK = "planted-by-a-tenant"
HTML = f'<img src=x alt="{MARK}" onerror="window.planted += 1"><script>window.planted += 1</script>'


def plant(platform: Platform, estate: Estate) -> None:
    """Write HTML into each field of the estate's things that takes a text."""
    owner = estate.owner
    answer = {"contains": MARK, "answers": [{"content": HTML}], "repeat": True}
    platform.client.post(f"{platform.addresses['llm']}/_local/answers", json=answer).raise_for_status()
    _plant_settings(platform.admin, owner, estate)
    _plant_prompts(owner)
    _plant_talk(owner)
    _plant_work(owner)
    _plant_dead_letter(platform, estate)


def _plant_settings(admin: Caller, owner: Caller, estate: Estate) -> None:
    admin.must("PATCH", f"/api/v1/tenants/{estate.tenant_id}", {"name": HTML})
    owner.must("POST", f"/api/v1/tenants/{estate.tenant_id}/keys", {"name": HTML})


def _plant_prompts(owner: Caller) -> None:
    prompt = {
        "template": HTML,
        "description": HTML,
        "tags": [HTML[:60]],
        "config": {HTML: HTML},
        "reason": HTML,
    }
    for template in (HTML, f"{HTML} twice"):
        owner.must("PUT", "/api/v1/prompts/a-planted", prompt | {"template": template})
    owner.must("PUT", "/api/v1/prompts/a-planted/labels/staging", {"version": 1, "reason": HTML})


def _plant_talk(owner: Caller) -> None:
    bot = {"llm": {"model": "gpt-4o"}, "description": HTML, "system_prompt": HTML, "tags": [HTML[:60]]}
    owner.must("PUT", "/api/v1/bots/a-planted", bot)
    talk = "/api/v1/bots/a-planted/chat"
    said = {"message": HTML, "conversation_id": "a-planted"}
    owner.must("POST", talk, said)
    where = "/api/v1/bots/a-planted/conversations/a-planted"
    owner.must("PATCH", where, {"title": HTML})
    owner.must("PUT", f"{where}/turns/1/rating", {"rating": "down", "comment": HTML})


def _plant_work(owner: Caller) -> None:
    job = {"id": "a-planted", "model": "gpt-4o", "task_id": HTML, "text": HTML}
    owner.must("POST", "/api/v1/reasoning/jobs", job)
    feedback = {"id": "a-planted", "task_id": HTML, "language": "en", "text": HTML}
    owner.must("POST", "/api/v1/feedback", feedback)
    csv = f'language,text\nen,"{HTML.replace(chr(34), chr(34) * 2)}"\n'
    owner.must("POST", "/api/v1/feedback/import", {"csv": csv})
    wait_for(
        lambda: owner.must("GET", "/api/v1/reasoning/jobs/a-planted"),
        lambda found: found["status"] in {"succeeded", "failed"},
    )


def _plant_dead_letter(platform: Platform, estate: Estate) -> None:
    message = {"tenant_id": estate.tenant_id, "id": HTML, "language": HTML, "text": HTML, HTML: HTML}
    platform.client.post("/admin/functions/analyse_feedback", json={"input": message})
    before = estate.names["dead_letter_id"]
    wait_for(lambda: [one for one in estate.get("/dead-letters")["items"] if one["id"] != before], bool)


def as_text() -> str:
    """Return what a page shows of it, as JSON writes a text: for asking a page whether it shows it."""
    return json.dumps(HTML)

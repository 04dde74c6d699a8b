"""Each page of the console has a test of its main job, done in a browser on the real local platform."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from functions.console.trigger import STATIC

BROWSER_TESTS = Path(__file__).parents[2] / "integration_tests" / "console"

MAIN_JOBS = {
    "/overview": "test_the_overview_shows_what_was_used_what_is_left_and_what_needs_a_look",
    "/tenants": "test_a_tenant_is_created_and_suspended",
    "/tenants/:tenant_id": "test_a_tenant_that_was_purged_is_shown_with_the_proof",
    "/settings": "test_a_setting_is_changed_and_reset_to_inherited",
    "/keys": "test_a_key_is_made_shown_once_and_revoked",
    "/limits": "test_a_tenant_is_given_limits_of_its_own_and_they_are_taken_back",
    "/webhooks": "test_a_webhook_is_added_with_its_secret_shown_once_rotated_and_deleted",
    "/webhooks/:webhook_id": "test_the_end_of_a_job_is_told_among_the_deliveries_of_its_webhook",
    "/audit": "test_the_trail_tells_who_did_what_in_the_tenant_and_in_the_platform",
    "/prompts": "test_filters_stand_in_the_address_and_survive_a_reload",
    "/prompts-new": "test_a_prompt_is_written_rendered_and_labelled",
    "/prompts/:name": "test_versions_of_a_prompt_are_compared_and_a_deleted_prompt_comes_back",
    "/bots": "test_a_bot_is_made_and_found_by_the_beginning_of_its_id",
    "/bots-new": "test_a_bot_is_made_and_found_by_the_beginning_of_its_id",
    "/bots/:bot_id": "test_a_bot_is_checked_as_one_types_and_kept_over_what_somebody_else_saved",
    "/playground": "test_the_playground_shows_an_answer_as_it_comes_and_what_it_cost",
    "/models": "test_a_model_is_added_edited_and_removed",
    "/conversations": "test_a_conversation_is_read_rated_and_gone_back_in",
    "/bots/:bot_id/conversations/:conversation_id": (
        "test_a_conversation_is_named_its_last_answer_asked_for_again_and_its_rating_explained"
    ),
    "/calls": "test_a_model_call_is_found_by_a_filter_and_its_way_is_shown",
    "/calls/:request_id": "test_what_a_call_said_is_read_when_somebody_asks_for_it",
    "/usage": "test_usage_is_shown_by_app_and_downloaded_as_csv",
    "/logs": "test_a_log_line_is_found_and_its_request_is_followed",
    "/health": "test_health_names_each_dependency_and_what_is_wrong",
    "/jobs": "test_a_job_is_submitted_followed_approved_and_its_result_shown",
    "/jobs-new": "test_a_job_is_submitted_followed_approved_and_its_result_shown",
    "/jobs/:job_id": "test_a_job_is_submitted_followed_approved_and_its_result_shown",
    "/feedback": "test_feedback_is_written_and_found_by_its_hashtag_in_the_charts",
    "/feedback/:feedback_id": "test_feedback_is_written_and_found_by_its_hashtag_in_the_charts",
    "/feedback-import": "test_an_import_shows_how_far_it_is_and_what_is_wrong_with_a_row",
    "/dead-letters": "test_dead_letters_that_were_picked_are_replayed_and_the_others_stay",
}
"""The page's address, and the test that does what people come to it for."""


def test_each_page_has_a_test_of_its_main_job() -> None:
    listed = re.findall(r'path: "([^"]+)"', (STATIC / "lib" / "pages.js").read_text())

    assert sorted(listed) == sorted(MAIN_JOBS)


def test_each_main_job_is_done_by_a_test_that_is_there() -> None:
    trees = [ast.parse(path.read_text()) for path in BROWSER_TESTS.glob("test_*.py")]
    there = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}

    assert set(MAIN_JOBS.values()) - there == set()

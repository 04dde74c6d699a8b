"""A query selects what its model reads, and no more."""

from __future__ import annotations

from shared.cosmos.container import BatchFailedError, BatchFailure
from shared.cosmos.partition import StoredItem
from shared.cosmos.queries import fields_of, select


class Summary(StoredItem):
    name: str


class Whole(Summary):
    text: str


def test_a_query_names_the_fields_of_its_model_as_they_are_stored() -> None:
    assert select(Summary) == "SELECT c.id, c.schema_version, c._etag, c.name FROM c"
    assert (
        select(Summary, where="c.id > @after", order_by="c.id")
        == "SELECT c.id, c.schema_version, c._etag, c.name FROM c WHERE c.id > @after ORDER BY c.id"
    )


def test_a_query_of_two_models_names_each_field_once() -> None:
    assert fields_of(Summary, Whole) == "c.id, c.schema_version, c._etag, c.name, c.text"


def test_only_a_failure_that_others_caused_is_a_race() -> None:
    races = [reason for reason in BatchFailure if BatchFailedError(0, reason).is_race]

    assert races == [BatchFailure.EXISTS, BatchFailure.MISSING, BatchFailure.CHANGED]

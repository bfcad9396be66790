"""The OpenAPI document says of every operation who serves it, who may call it and what may go wrong."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from crm_shared.idempotency import IdempotencyKeyInUse


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def test_it_is_openapi_3_1_and_its_schemas_are_json_schemas(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        place = document
        for step in reference.split("/"):
            place = place[step]


def test_the_frameworks_own_error_is_nowhere(document: dict[str, Any]) -> None:
    assert "ValidationError" not in json.dumps(document)


def test_every_operation_says_who_serves_it_and_who_may_call_it(document: dict[str, Any]) -> None:
    operations = {o["operationId"]: o for path in document["paths"].values() for o in path.values()}
    for operation in operations.values():
        assert operation["x-service"] == "notes"
        assert operation["summary"]
        assert operation["tags"] or operation["operationId"]
    assert operations["create_note"]["x-roles"] == ["agent"]
    assert operations["create_note"]["security"] == [{"bearer": []}]
    assert operations["count_notes_of_customer"]["x-roles"] == ["agent", "customer"]
    assert operations["count_nothing"]["security"] == []
    assert operations["list_notes_dead_letters"]["x-roles"] == ["admin"]


def test_problems_of_one_status_are_told_together_each_with_its_code_and_meaning(
    document: dict[str, Any],
) -> None:
    responses = document["paths"]["/v1/notes/{note_id}"]["patch"]["responses"]
    assert responses["409"]["description"].splitlines() == [
        "- `note_sealed`: Note sealed.",
        "- `note_locked`: Note locked.",
        f"- `idempotency_key_in_use`: {IdempotencyKeyInUse.__doc__}",
    ]
    assert list(responses["409"]["content"]) == ["application/problem+json"]
    assert {"400", "401", "403", "404", "412", "413", "415", "422", "429", "500", "503", "504"} <= set(
        responses
    )


def test_the_key_is_a_header_of_what_may_be_repeated_and_demanded_where_value_moves(
    document: dict[str, Any],
) -> None:
    def key(path: str, method: str) -> list[bool]:
        parameters = document["paths"][path][method].get("parameters", [])
        return [p["required"] for p in parameters if p["name"] == "Idempotency-Key"]

    assert key("/v1/notes", "post") == [False]
    assert key("/v1/notes/{note_id}/pay", "post") == [True]
    assert key("/v1/notes", "get") == []


def test_free_text_says_that_it_cannot_hold_nul(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["NoteIn"]["properties"]["text"]["pattern"] == "^[^\\u0000]*$"
    assert "pattern" not in schemas["NoteOut"]["properties"]["id"]


def test_the_first_line_of_the_docstring_is_the_summary(document: dict[str, Any]) -> None:
    operation = document["paths"]["/v1/notes/{note_id}"]["patch"]
    assert operation["summary"] == "Change a note"
    assert operation["description"] == "A sealed one stays as it is."

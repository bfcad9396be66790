"""Every refusal is a problem document that says what is wrong and nothing of what is inside."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx2
import pytest

from crm_shared.problems import Conflict, ProblemOut

NOTES = "/v1/notes"
SOMEBODY = "00000000-0000-7000-8000-000000000001"
JSON = {"content-type": "application/json"}


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    ProblemOut.model_validate(body)
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["request_id"] == response.headers["x-request-id"]
    assert str(body["type"]).endswith("/" + code.replace("_", "-"))
    return body


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/text"),
        ({"text": 1}, "/text"),
        ({"text": "a" * 1001}, "/text"),
        ({"text": "a", "tags": ["ok", "x" * 21]}, "/tags/1"),
        ({"text": "a", "unknown": 1}, "/unknown"),
        ({"text": "a", "a/b~c": 1}, "/a~1b~0c"),
        ([], ""),
        ({"text": "a", "colours": [{"kind": "blue"}, {"kind": "red"}]}, "/colours/1/shade"),
        ({"text": "a", "colours": [{"kind": "red", "shade": "x"}]}, "/colours/0/shade"),
        ({"text": "a", "colours": [{"kind": "red", "shade": 1, "hue": 1}]}, "/colours/0/hue"),
        ({"text": "a", "colours": [{"kind": "green"}]}, "/colours/0/kind"),
        ({"text": "a", "colours": [{}]}, "/colours/0/kind"),
        ({"text": "a", "marks": {"int": "x"}}, "/marks/int"),
        ({"text": "a", "marks": {"too long": 1}}, "/marks/too long"),
    ],
)
async def test_a_body_that_does_not_fit_is_named_by_pointer(
    agent: httpx2.AsyncClient, body: Any, pointer: str
) -> None:
    answer = problem(await agent.post(NOTES, json=body), 422, "invalid_request")
    assert {error["pointer"] for error in answer["errors"]} == {pointer}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "malformed_json"),
        (b'{"text": NaN}', "malformed_json"),
        (b'{"text": "\xff"}', "malformed_json"),
        (b'{"text": "\xed\xa0\x80"}', "malformed_json"),
        (b'{"text": "\\ud800"}', "malformed_json"),
        ('{"text": "a"}'.encode("utf-16"), "malformed_json"),
        (b'{"text": "a\\u0000b"}', "nul_character"),
        (b'{"text": "\\\\\\u0000"}', "nul_character"),
        (b"[" * 33 + b"]" * 33, "nested_too_deeply"),
        (b'{"a":[' * 20 + b"]}" * 20, "nested_too_deeply"),
        (b"[" * 100_000, "nested_too_deeply"),
        (b'{"a":' * 200_000, "nested_too_deeply"),
    ],
)
async def test_what_is_not_decent_json_is_refused_before_it_is_parsed(
    agent: httpx2.AsyncClient, content: Any, code: str
) -> None:
    problem(await agent.post(NOTES, content=content, headers=JSON), 400, code)


async def test_an_escaped_backslash_before_u0000_is_text(agent: httpx2.AsyncClient) -> None:
    answer = await agent.post(NOTES, content=b'{"text": "\\\\u0000"}', headers=JSON)
    assert answer.json()["text"] == "\\u0000"


async def test_brackets_inside_of_strings_nest_nothing(agent: httpx2.AsyncClient) -> None:
    text = '[{"' * 100
    answer = await agent.post(NOTES, content=json.dumps({"text": text}), headers=JSON)
    assert answer.json()["text"] == text


async def test_malformed_json_is_told_where(agent: httpx2.AsyncClient) -> None:
    answer = problem(await agent.post(NOTES, content=b'{"text": tru}', headers=JSON), 400, "malformed_json")
    assert answer["position"] == 9


async def test_an_unknown_parameter_is_refused_by_name(agent: httpx2.AsyncClient) -> None:
    answer = problem(await agent.get(NOTES, params={"word": "a", "wrod": "b"}), 422, "invalid_request")
    assert [error["pointer"] for error in answer["errors"]] == ["wrod"]


async def test_a_repeated_parameter_is_a_list(agent: httpx2.AsyncClient) -> None:
    assert (await agent.get(NOTES, params={"word": ["a", "b"]})).json() == {"notes": 0}


async def test_a_parameter_that_does_not_fit_is_named(agent: httpx2.AsyncClient) -> None:
    answer = problem(await agent.get("/v1/notes/nonsense"), 422, "invalid_request")
    assert [error["pointer"] for error in answer["errors"]] == ["note_id"]


async def test_nul_in_a_parameter_never_reaches_the_database(agent: httpx2.AsyncClient) -> None:
    problem(await agent.get(NOTES, params={"word": "a\0"}), 422, "invalid_request")
    problem(await agent.get("/v1/notes/by-name/a%00"), 400, "nul_character")


async def test_odd_bytes_in_parameters_are_only_text_that_nobody_wrote(agent: httpx2.AsyncClient) -> None:
    assert (await agent.get(NOTES + "?word=%ff%ed%a0%80")).json() == {"notes": 0}


@pytest.mark.parametrize("name", ["%ff%fe", "%ed%a0%80", "a%C3"])
async def test_a_path_that_is_not_utf_8_is_refused(agent: httpx2.AsyncClient, name: str) -> None:
    problem(await agent.get(f"/v1/notes/by-name/{name}"), 400, "malformed_path")


@pytest.mark.parametrize("name", ["%EF%BF%BD", "%E7%8E%8B", "50%25", "plain"])
async def test_a_path_that_is_utf_8_is_taken(agent: httpx2.AsyncClient, name: str) -> None:
    assert (await agent.get(f"/v1/notes/by-name/{name}")).json() == {"notes": 0}


async def test_an_unknown_route_is_not_found(agent: httpx2.AsyncClient) -> None:
    problem(await agent.get("/v1/nothing"), 404, "route_not_found")


async def test_a_method_not_offered_is_told_all_that_are(agent: httpx2.AsyncClient) -> None:
    answer = await agent.delete(f"{NOTES}/{SOMEBODY}")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, PATCH"


@pytest.mark.parametrize("sent", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
async def test_a_body_that_is_not_json_is_refused_by_its_type(agent: httpx2.AsyncClient, sent: Any) -> None:
    answer = await agent.post(NOTES, content=b'{"text":"a"}', headers={"content-type": sent})
    problem(answer, 415, "wrong_content_type")


async def test_a_merge_patch_is_json_too(agent: httpx2.AsyncClient) -> None:
    note = (await agent.post(NOTES, json={"text": "a"})).json()
    answer = await agent.patch(
        f"{NOTES}/{note['id']}",
        content=b'{"text":"b"}',
        headers={"content-type": "application/merge-patch+json; charset=utf-8"},
    )
    assert answer.json()["version"] == 2


async def test_a_compressed_body_is_refused(agent: httpx2.AsyncClient) -> None:
    answer = await agent.post(NOTES, content=b"x", headers=JSON | {"content-encoding": "gzip"})
    problem(answer, 415, "encoded_body")


async def test_who_does_not_accept_json_is_told_so(agent: httpx2.AsyncClient) -> None:
    problem(await agent.get(NOTES, headers={"accept": "text/html"}), 406, "not_acceptable")
    assert (await agent.get(NOTES, headers={"accept": "text/html, */*;q=0.1"})).status_code == 200


async def test_a_body_that_says_it_is_too_large_is_refused_unread(agent: httpx2.AsyncClient) -> None:
    problem(await agent.post(NOTES, content=b"x" * (1024 * 1024 + 1)), 413, "payload_too_large")


@pytest.mark.parametrize("digits", [19, 5000])
async def test_a_length_of_absurdly_many_digits_is_too_large(agent: httpx2.AsyncClient, digits: int) -> None:
    answer = await agent.post(NOTES, content=b"{}", headers=JSON | {"content-length": "9" * digits})
    problem(answer, 413, "payload_too_large")


async def test_a_body_that_grows_too_large_is_refused_on_the_way(agent: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3000):  # of which only so much is read that a client notices the answer
            yield b" " * 64 * 1024
        raise AssertionError("it was read to its end")

    problem(await agent.post(NOTES, content=endless(), headers=JSON), 413, "payload_too_large")


async def test_a_fault_of_ours_tells_nothing_of_what_is_inside(
    agent: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await agent.get("/v1/broken")
    problem(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "KeyError" not in answer.text
    assert any(record.exc_info and record.getMessage() == "request failed" for record in caplog.records)


async def test_a_statement_that_takes_too_long_is_trouble_of_the_database(agent: httpx2.AsyncClient) -> None:
    answer = await agent.get("/v1/stuck")
    problem(answer, 503, "database_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_document_says_what_its_type_and_title_are(agent: httpx2.AsyncClient) -> None:
    answer = problem(await agent.get(f"{NOTES}/{SOMEBODY}"), 404, "note_not_found")
    assert answer["title"] == "Note not found"
    assert answer["note_id"] == SOMEBODY
    assert answer["instance"] == f"{NOTES}/{SOMEBODY}"


def test_an_instant_reads_in_a_refusal_as_in_any_other_answer() -> None:
    begins = datetime(2026, 2, 3, 8, 30, tzinfo=timezone(timedelta(hours=8)))
    assert Conflict(begins_at=begins).extensions == {"begins_at": "2026-02-03T00:30:00Z"}

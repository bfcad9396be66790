"""The documents say everything that a caller needs to know, and what they show is true."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from crm_gateway import openapi
from crm_local.openapi import merged, render

DOCUMENT = openapi.load()
JSON = "application/json"
REFERENCE = re.compile(r'"#/components/schemas/([^"]+)"')
METHODS = ("get", "put", "post", "patch", "delete")


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


Operation = tuple[str, str, Mapping[str, Any]]


def cases(found: Iterable[Operation]) -> pytest.MarkDecorator:
    """The test for each of these operations."""
    params = [pytest.param(*each, id=each[2]["operationId"]) for each in found]
    return pytest.mark.parametrize(("path", "method", "operation"), params)


def resolved(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with everything that it refers to."""
    return {**schema, "components": DOCUMENT["components"]}


def test_the_committed_document_is_what_the_code_says() -> None:
    assert json.loads(render(merged())) == DOCUMENT


def test_operation_ids_are_unique() -> None:
    ids = Counter(operation["operationId"] for _, _, operation in operations())
    assert ids.most_common(1)[0][1] == 1


def test_the_frameworks_own_error_is_nowhere() -> None:
    assert "ValidationError" not in str(DOCUMENT)


@cases(operations())
def test_an_operation_says_what_it_is_who_may_call_it_and_what_may_go_wrong(
    path: str, method: str, operation: Mapping[str, Any]
) -> None:
    assert operation["tags"]
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert operation["x-service"]

    responses = operation["responses"]
    assert any(status.startswith("2") for status in responses)
    expected = {"400", "422", "429", "500", "503", "504"}
    if operation["security"]:
        assert operation["x-roles"], "nobody may call it"
        expected |= {"401", "403"}
    if "{" in path and "by-external-id" not in path and method != "put":
        expected.add("404")
    if "requestBody" in operation:
        expected |= {"413", "415"}
    assert expected <= responses.keys()
    for status, response in responses.items():
        assert response["description"]
        content = response.get("content", {})
        if status >= "400":
            assert content.keys() == {"application/problem+json"}
            schema = content["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
        else:
            assert content or status == "204", "nobody says of what type the answer is"


@cases(found for found in operations() if JSON in found[2].get("requestBody", {}).get("content", {}))
def test_a_body_is_shown_by_an_example_that_fits(
    path: str, method: str, operation: Mapping[str, Any]
) -> None:
    schema = operation["requestBody"]["content"][JSON]["schema"]
    for kind in schema.get("oneOf", [schema]):
        examples = DOCUMENT["components"]["schemas"][kind["$ref"].rsplit("/", 1)[1]].get("examples", [])
        assert examples
        for example in examples:
            jsonschema.validate(
                example, resolved(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
            )


def taken() -> dict[str, Any]:
    """By its name, whatever is sent: parameters, and the schemas that bodies lead to."""
    schemas = DOCUMENT["components"]["schemas"]
    bodies: dict[str, Any] = {}
    waiting = [operation.get("requestBody", {}) for _, _, operation in operations()]
    while waiting:
        for name in set(REFERENCE.findall(json.dumps(waiting.pop()))) - bodies.keys():
            bodies[name] = schemas[name]
            waiting.append(schemas[name])
    parameters = {o["operationId"]: o["parameters"] for _, _, o in operations() if "parameters" in o}
    return bodies | parameters


def is_bounded(schema: Mapping[str, Any]) -> bool:
    """Whether it says how long, how large or how many; what is no schema is."""
    match schema.get("type"):
        case "string":
            free = schema.get("pattern", "^[^").startswith("^[^")
            return bool(schema.keys() & {"maxLength", "format", "enum", "const"}) or not free
        case "integer" | "number":
            ends = ({"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"})
            return bool(schema.keys() & {"enum", "const"}) or all(schema.keys() & end for end in ends)
        case "array":
            return bool(schema.keys() & {"maxItems", "prefixItems"})
    return True


def unbounded(part: Any, at: str = "") -> Iterator[str]:
    """Where something without an end is accepted."""
    if isinstance(part, dict):
        if not is_bounded(part):
            yield at
        for name, inner in part.items():
            yield from unbounded(inner, f"{at}/{name}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from unbounded(inner, f"{at}/{index}")


def test_every_text_number_and_list_that_is_taken_has_its_bounds() -> None:
    assert list(unbounded(taken())) == []

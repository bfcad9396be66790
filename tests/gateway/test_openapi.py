"""The merged document: everything once, and nothing that contradicts itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_gateway.openapi import ContradictingDocuments, load, merge
from crm_gateway.routing import Table
from crm_shared.problems import NotFound

from .conftest import documents, operation

SCHEMA = {"type": "object", "title": "Thing"}


def document(path: str, operation_id: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "paths": {path: {"get": operation(operation_id)}},
        "components": {"schemas": {"Thing": schema or SCHEMA}},
    }


def test_operations_say_whose_they_are_and_how_to_sign_in() -> None:
    merged = merge({"a": document("/v1/a", "get_a"), "b": document("/v1/b", "get_b")})

    assert merged["paths"]["/v1/a"]["get"]["x-service"] == "a"
    assert merged["paths"]["/v1/b"]["get"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert merged["components"]["schemas"] == {"Thing": SCHEMA}


@pytest.mark.parametrize(
    "other",
    [
        document("/v1/a", "get_b"),
        document("/v1/b", "get_a"),
        document("/v1/b", "get_b", {"type": "string"}),
    ],
)
def test_documents_that_contradict_each_other_are_not_merged(other: dict[str, Any]) -> None:
    with pytest.raises(ContradictingDocuments):
        merge({"a": document("/v1/a", "get_a"), "b": other})


def test_the_composed_operation_describes_the_summaries_it_is_made_of() -> None:
    summary = document("/v1/customers/{customer_id}/summary/loyalty", "get_loyalty_summary")
    reference = {"$ref": "#/components/schemas/Thing"}
    summary["paths"]["/v1/customers/{customer_id}/summary/loyalty"]["get"]["responses"] = {
        "200": {"content": {"application/json": {"schema": reference}}}
    }
    composed = merge({"loyalty": summary})["paths"]["/v1/customers/{customer_id}/360"]["get"]

    answer = composed["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["sections"]["properties"]["loyalty"]["properties"]["data"] == reference


def test_the_document_that_ships_can_be_routed_by() -> None:
    shipped = load()
    table = Table(shipped)

    for path, item in shipped["paths"].items():
        for method, described in item.items():
            assert table.find(method.upper(), path).service == described["x-service"]


PATHS = list(merge(documents())["paths"])
SEGMENT = st.one_of(
    st.sampled_from(sorted({segment for path in PATHS for segment in path.split("/")})),
    st.text(alphabet="ab{}%.", min_size=1, max_size=3),
)


def fits(template: str, path: str) -> bool:
    pairs = list(zip(template.split("/"), path.split("/"), strict=False))
    return len(template.split("/")) == len(path.split("/")) and all(
        wanted == given or (wanted.startswith("{") and given != "") for wanted, given in pairs
    )


@given(st.lists(SEGMENT, max_size=6))
def test_a_path_is_found_exactly_when_some_template_fits_it(segments: list[str]) -> None:
    path = "/".join(["", *segments])
    table = Table(merge(documents()))
    fitting = [template for template in PATHS if fits(template, path)]
    try:
        found = {operation.path for operation in table.operations(path).values()}
    except NotFound:
        found = set()

    assert bool(found) == bool(fitting)
    assert found <= set(fitting)

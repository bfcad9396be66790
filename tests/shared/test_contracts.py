"""What was published once can be read for ever: additions pass, everything else is refused."""

from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from crm_shared.contracts import catalogue
from crm_shared.contracts.base import Event
from crm_shared.contracts.catalogue import EVENTS, example_of, incompatibilities, schema_of
from crm_shared.contracts.profiles import PurchaseRecorded

Schema = dict[str, Any]


@pytest.fixture
def published() -> Schema:
    return schema_of(PurchaseRecorded)


def changed(schema: Schema) -> Schema:
    return deepcopy(schema)


def test_the_committed_snapshot_is_what_the_code_publishes() -> None:
    assert catalogue.breaks() == []
    assert catalogue.drift() == []


def test_every_contract_is_in_the_catalogue() -> None:
    contracts = {
        each
        for module in vars(catalogue).values()
        if isinstance(module, ModuleType)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Event)
    }
    assert {event for event in contracts if hasattr(event, "type")} == set(EVENTS)


def test_a_new_optional_field_is_compatible(published: Schema) -> None:
    grown = changed(published)
    grown["properties"]["gift_message"] = {"type": "string"}
    assert list(incompatibilities(published, grown)) == []


def test_a_removed_field_is_refused(published: Schema) -> None:
    shrunk = changed(published)
    del shrunk["properties"]["total"]
    assert list(incompatibilities(published, shrunk)) == ["data.total: is gone"]


def test_a_retyped_field_is_refused(published: Schema) -> None:
    retyped = changed(published)
    retyped["properties"]["version"]["type"] = "string"
    assert list(incompatibilities(published, retyped)) == ["data.version: was integer, is string"]


def test_a_retyped_field_of_a_nested_object_is_refused(published: Schema) -> None:
    retyped = changed(published)
    retyped["$defs"]["PurchaseLineState"]["properties"]["quantity"]["type"] = "number"
    assert list(incompatibilities(published, retyped)) == ["data.lines[].quantity: was integer, is number"]


def test_a_field_that_becomes_mandatory_is_refused(published: Schema) -> None:
    stricter = changed(published)
    stricter["required"].append("shop")
    assert list(incompatibilities(published, stricter)) == ["data: now demands ['shop']"]


def test_an_event_that_is_no_longer_published_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loyalty.points.burnt.v1.json").write_text("{}")
    assert catalogue.breaks(tmp_path) == ["loyalty.points.burnt.v1: is no longer published"]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_example_fits_its_schema_and_its_contract(event: type[Event]) -> None:
    schema = schema_of(event)
    example = example_of(schema)
    jsonschema.validate(example, schema, format_checker=jsonschema.FormatChecker())
    assert event.model_validate(example).subject


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_type_names_its_service_noun_past_verb_and_version(event: type[Event]) -> None:
    service, noun, verb, version = event.type.split(".")
    assert service in ("profiles", "segmentation", "tickets", "loyalty")
    assert noun
    assert verb
    assert version.startswith("v")
    assert event.subject_field in event.model_fields


def test_fields_that_a_consumer_does_not_know_are_ignored() -> None:
    example = example_of(schema_of(PurchaseRecorded)) | {"came_later": {"deep": [1]}}
    assert PurchaseRecorded.model_validate(example).external_id == "text"

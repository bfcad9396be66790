"""CloudEvents over Kafka: what goes out in binary mode, what is understood, and what is not."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_shared.contracts.profiles import CustomerErased
from crm_shared.ids import uuid7
from crm_shared.messaging.envelope import (
    Header,
    NotACloudEvent,
    Stored,
    Undecodable,
    UnknownFormat,
    decode,
    encode,
)
from crm_shared.messaging.kafka import partition_of
from crm_shared.messaging.relay import Route, Routes, messages

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
AT = datetime(2026, 3, 2, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=8)))
PURCHASE = "profiles.purchase.recorded.v1"
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
ROW = Stored(1, ID, PURCHASE, "customer", "purchase", 7, '{"n":1}', AT, TRACE, "cause", "agent:王小明")


@dataclass
class FakeRecord:
    key: bytes | None = b"customer"
    value: bytes | None = b'{"n":1}'
    headers: Sequence[Header] = ()
    topic: str = "profiles.events"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_700_000_000_000


def binary(**changed: bytes | None) -> FakeRecord:
    """A complete event in binary mode, with these headers changed or left out."""
    headers: Mapping[str, bytes | None] = dict(encode(ROW, "profiles.events").headers)
    headers = {**headers, **{name.replace("content_type", "content-type"): v for name, v in changed.items()}}
    return FakeRecord(headers=[(name, value) for name, value in headers.items() if value is not None])


def structured(
    event: object, content_type: str = "application/cloudevents+json; charset=utf-8"
) -> FakeRecord:
    return FakeRecord(value=orjson.dumps(event), headers=[("content-type", content_type.encode())])


def test_an_event_goes_out_with_its_attributes_as_headers_and_its_data_untouched() -> None:
    message = encode(ROW, "profiles.events")
    assert message.topic == "profiles.events"
    assert message.key == b"customer"
    assert message.value == b'{"n":1}'
    assert dict(message.headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_type": PURCHASE.encode(),
        "ce_source": b"/crm/profiles",
        "ce_id": str(ID).encode(),
        "ce_subject": b"purchase",
        "ce_time": b"2026-03-02T04:00:00.000005Z",
        "ce_partitionkey": b"customer",
        "ce_sequence": b"00000000000000000007",
        "ce_traceparent": TRACE.encode(),
        "ce_causationid": b"cause",
        "ce_actor": "agent:王小明".encode(),
    }


def test_what_is_not_known_has_no_header() -> None:
    row = ROW._replace(traceparent=None, causation_id=None, actor=None)
    names = {name for name, _ in encode(row, "profiles.events").headers}
    assert names.isdisjoint({"ce_traceparent", "ce_causationid", "ce_actor"})


def test_what_was_encoded_is_understood() -> None:
    envelope, data = decode(binary())
    assert (envelope.id, envelope.source, envelope.type) == (ID, "/crm/profiles", PURCHASE)
    assert (envelope.subject, envelope.key, envelope.time) == ("purchase", "customer", AT)
    assert (envelope.traceparent, envelope.causation_id, envelope.actor) == (TRACE, "cause", "agent:王小明")
    assert data == b'{"n":1}'


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "Application/CloudEvents+JSON; x=y"]
)
def test_the_structured_mode_is_understood_as_well(content_type: str) -> None:
    event = {
        "specversion": "1.0",
        "id": str(ID),
        "source": "/crm/profiles",
        "type": PURCHASE,
        "data": {"n": 1},
    }
    envelope, data = decode(structured(event, content_type))
    assert (envelope.id, envelope.type, envelope.key) == (ID, PURCHASE, "customer")
    assert envelope.time == datetime.fromtimestamp(1_700_000_000, UTC), "the record's, when it names none"
    assert data == b'{"n":1}'


@pytest.mark.parametrize("format", ["application/cloudevents+avro", "application/cloudevents-batch+json"])
def test_a_structured_event_in_an_unknown_format_is_refused(format: str) -> None:
    with pytest.raises(UnknownFormat, match=format.replace("+", r"\+")):
        decode(structured({}, format))


@pytest.mark.parametrize(
    "record",
    [
        FakeRecord(),
        FakeRecord(value=None),
        binary(ce_specversion=None),
        binary(ce_specversion=b"0.3"),
        binary(ce_id=None),
        binary(ce_id=b"not a uuid"),
        binary(ce_type=None),
        binary(ce_source=None),
        binary(ce_time=b"yesterday"),
        binary(ce_subject=b"\xff"),
        structured([]),
        structured({"specversion": "1.0"}),
        structured({"specversion": "1.0", "id": 5, "source": "/crm/profiles", "type": PURCHASE, "data": 1}),
        FakeRecord(value=b"{", headers=[("content-type", b"application/cloudevents+json")]),
        FakeRecord(value=None, headers=binary().headers),
        FakeRecord(key=None, headers=binary(ce_partitionkey=None).headers),
    ],
)
def test_a_record_that_lacks_what_an_event_must_have_is_no_event(record: FakeRecord) -> None:
    with pytest.raises(NotACloudEvent):
        decode(record)


@given(
    st.none() | st.binary(max_size=8),
    st.none() | st.binary(max_size=200),
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in encode(ROW, "t").headers]) | st.text(max_size=5),
            st.sampled_from([value for _, value in encode(ROW, "t").headers]) | st.binary(max_size=20),
        )
    ),
)
def test_no_record_whatever_breaks_the_decoder(
    key: bytes | None, value: bytes | None, headers: list[Header]
) -> None:
    with contextlib.suppress(Undecodable):
        envelope, data = decode(FakeRecord(key, value, headers))
        assert envelope.type
        assert isinstance(data, bytes)


def test_a_state_topic_gets_the_same_event_and_a_tombstone_in_the_end() -> None:
    kept = messages(ROW, Route("profiles.events", "profiles.customers.state"))
    assert [(m.topic, m.key, m.value) for m in kept] == [
        ("profiles.events", b"customer", b'{"n":1}'),
        ("profiles.customers.state", b"customer", b'{"n":1}'),
    ]
    gone = messages(ROW, Route("profiles.events", "profiles.customers.state", tombstone=True))
    assert [m.value for m in gone] == [b'{"n":1}', None]


def test_an_erasure_ends_the_states_of_all_who_were_merged_into_the_customer_too() -> None:
    gone, *absorbed = (uuid7() for _ in range(3))
    told = CustomerErased(customer_id=gone, version=2, erasure_id=ID, absorbed=absorbed)
    row = ROW._replace(type=told.type, key=told.key, subject=told.subject, data=told.data)

    event, *tombstones = messages(row, Routes([CustomerErased])[told.type])

    assert (event.topic, event.value) == ("profiles.events", told.data.encode())
    assert [(each.topic, each.key.decode(), each.value) for each in tombstones] == [
        ("profiles.customers.state", str(id), None) for id in (gone, *absorbed)
    ]


def test_a_key_goes_to_the_partition_that_other_clients_give_it() -> None:
    # From Kafka's own tests of murmur2, reduced to twelve partitions.
    assert [partition_of(key) for key in (b"21", b"foobar", b"a-little-bit-long-string")] == [
        (value & 0x7FFFFFFF) % 12 for value in (-973932308, -790332482, -985981536)
    ]

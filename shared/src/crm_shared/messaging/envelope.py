"""The envelope: an event as a Kafka record and back, by the Kafka binding of CloudEvents 1.0."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple, Protocol
from uuid import UUID

import orjson
from pydantic import ValidationError

from crm_shared.contracts.base import Envelope

Header = tuple[str, bytes]

_STRUCTURED = "application/cloudevents"
_JSON_FORMAT = "application/cloudevents+json"


class Undecodable(Exception):
    """This record can never be understood; `reason` is the stable word for why."""

    reason = "undecodable"


class NotACloudEvent(Undecodable):
    """A required attribute is missing or is not what it has to be."""

    reason = "not-a-cloudevent"


class UnknownFormat(Undecodable):
    """A structured event in a format that nobody here can read."""

    reason = "unknown-format"


class Stored(NamedTuple):
    """A row of the outbox, as the relay reads it."""

    seq: int
    id: UUID
    type: str
    key: str
    subject: str
    version: int
    data: str
    time: datetime
    traceparent: str | None
    causation_id: str | None
    actor: str | None


class Message(NamedTuple):
    """What goes to the broker; without a value it is a tombstone."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[Header]


class Record(Protocol):
    """What comes from the broker."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


def source(service: str) -> str:
    """The CloudEvents source of a service; source and id together name an event for ever."""
    return f"/crm/{service}"


def encode(row: Stored, topic: str) -> Message:
    """The event in binary mode: attributes as headers, the data as they were stored."""
    key = row.key.encode()
    headers = [
        *_constant_headers(row.type),
        ("ce_id", str(row.id).encode()),
        ("ce_subject", row.subject.encode()),
        ("ce_time", row.time.astimezone(UTC).isoformat()[:-6].encode() + b"Z"),
        ("ce_partitionkey", key),
        # Padded, because the extension is compared as text.
        ("ce_sequence", b"%020d" % row.version),
    ]
    if row.traceparent is not None:
        headers.append(("ce_traceparent", row.traceparent.encode()))
    if row.causation_id is not None:
        headers.append(("ce_causationid", row.causation_id.encode()))
    if row.actor is not None:
        headers.append(("ce_actor", row.actor.encode()))
    return Message(topic, key, row.data.encode(), headers)


@cache
def _constant_headers(type: str) -> tuple[Header, ...]:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", type.encode()),
        ("ce_source", source(type.split(".", 1)[0]).encode()),
        ("content-type", b"application/json"),
    )


def decode(record: Record) -> tuple[Envelope, bytes]:
    """The envelope and the data, from either mode; raises NotACloudEvent or UnknownFormat."""
    try:
        headers = {name: value.decode() for name, value in record.headers}
        key = record.key.decode() if record.key else None
    except (UnicodeDecodeError, AttributeError) as error:
        raise NotACloudEvent(f"a header or the key is not text: {error}") from None
    content_type = headers.get("content-type", "").strip().lower()
    if content_type.startswith(_STRUCTURED):
        attributes, data = _structured(content_type, record.value)
    else:
        attributes, data = _binary(headers, record.value)
    return _envelope(attributes, key, record.timestamp), data


def _binary(headers: Mapping[str, str], value: bytes | None) -> tuple[dict[str, str], bytes]:
    if value is None:
        raise NotACloudEvent("it has no data")
    return {name[3:]: text for name, text in headers.items() if name.startswith("ce_")}, value


def _structured(content_type: str, value: bytes | None) -> tuple[dict[str, str], bytes]:
    if content_type.split(";", 1)[0].strip() != _JSON_FORMAT:
        raise UnknownFormat(content_type)
    try:
        event = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise NotACloudEvent(f"malformed JSON: {error}") from None
    if not isinstance(event, dict) or "data" not in event:
        raise NotACloudEvent("the structured event is not an object with data")
    data = orjson.dumps(event.pop("data"))
    return {name: text for name, text in event.items() if isinstance(text, str)}, data


def _envelope(attributes: Mapping[str, str], key: str | None, timestamp: int) -> Envelope:
    if attributes.get("specversion") != "1.0":
        raise NotACloudEvent(f"specversion is {attributes.get('specversion')!r} instead of '1.0'")
    try:
        return Envelope.model_validate(
            {
                "id": attributes.get("id"),
                "source": attributes.get("source"),
                "type": attributes.get("type"),
                "subject": attributes.get("subject", ""),
                "key": attributes.get("partitionkey", key),
                "time": attributes.get("time") or datetime.fromtimestamp(timestamp / 1000, UTC),
                "traceparent": attributes.get("traceparent"),
                "causation_id": attributes.get("causationid"),
                "actor": attributes.get("actor"),
            }
        )
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise NotACloudEvent(faults) from None

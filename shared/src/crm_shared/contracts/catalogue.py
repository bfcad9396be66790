"""The catalogue of published events: JSON Schemas, an AsyncAPI document, and what may still change.

`python -m crm_shared.contracts.catalogue write` renews the committed snapshot and refuses what would break
a consumer; `check` says whether the snapshot is what the code publishes.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crm_shared.contracts import erasure, exports, loyalty, profiles, segmentation, tickets
from crm_shared.contracts.base import Event

Schema = dict[str, Any]

SNAPSHOT = Path(__file__).parent / "snapshot"
ASYNCAPI = "asyncapi.json"
PARTITIONS = 12

EVENTS: tuple[type[Event], ...] = (
    profiles.CustomerCreated,
    profiles.CustomerChanged,
    profiles.CustomerMerged,
    profiles.CustomerUnmerged,
    profiles.CustomerErased,
    profiles.ExportRequested,
    profiles.PurchaseRecorded,
    profiles.PurchaseRefunded,
    profiles.InteractionRecorded,
    profiles.StageChanged,
    profiles.ConsentChanged,
    profiles.ContactPolicyChanged,
    profiles.MessageLogged,
    segmentation.LevelChanged,
    segmentation.MembershipEntered,
    segmentation.MembershipLeft,
    tickets.TicketOpened,
    tickets.TicketResponded,
    tickets.TicketResolved,
    tickets.TicketClosed,
    tickets.ComplaintUpheld,
    tickets.ComplaintRejected,
    tickets.MessageSent,
    tickets.MessageDelivered,
    tickets.MessageFailed,
    tickets.MessageAnswered,
    tickets.CalendarChanged,
    loyalty.PointsEarned,
    loyalty.PointsSpent,
    loyalty.PointsAdjusted,
    loyalty.PointsHeld,
    loyalty.PointsReleased,
    loyalty.RewardOrdered,
    loyalty.RewardShipped,
    loyalty.RewardDelivered,
    loyalty.RewardCancelled,
    loyalty.CouponIssued,
    loyalty.CouponRedeemed,
    loyalty.CouponVoided,
    loyalty.PointsExpired,
    loyalty.PointsReversed,
    loyalty.PointsExpiring,
    loyalty.PointsTransferred,
    loyalty.PointsReceived,
    loyalty.PointsShared,
    loyalty.PoolJoined,
    loyalty.PoolLeft,
    loyalty.ActivityAttended,
    loyalty.ReferralQualified,
    loyalty.TierChanged,
    loyalty.TierDowngradeAnnounced,
    loyalty.MessageSent,
    loyalty.MessageDelivered,
    loyalty.MessageFailed,
    loyalty.MessageAnswered,
    erasure.SegmentationErasureConfirmed,
    erasure.TicketsErasureConfirmed,
    erasure.LoyaltyErasureConfirmed,
    exports.SegmentationExportPrepared,
    exports.TicketsExportPrepared,
    exports.LoyaltyExportPrepared,
)


def published_by(service: str) -> tuple[type[Event], ...]:
    return tuple(event for event in EVENTS if event.service() == service)


def schema_of(event: type[Event]) -> Schema:
    """JSON Schema 2020-12 of the event's data, open: consumers must ignore what they do not know."""
    schema = event.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{event.type}.json", **schema}


def incompatibilities(old: Schema, new: Schema, where: str = "") -> Iterator[str]:
    """Why a consumer of the old schema could not read the new data, or one of the new the old data.

    Fields may be added, if they need not be there; nothing is removed, retyped, or newly required. A value
    may be added to an enumeration: consumers must expect values that they do not know.
    """
    old_root, new_root = old.get("$defs", {}), new.get("$defs", {})
    yield from _compare(old, new, old_root, new_root, where or "data")


def _compare(
    old: Schema, new: Schema, old_defs: Mapping[str, Schema], new_defs: Mapping[str, Schema], where: str
) -> Iterator[str]:
    old, new = _followed(old, old_defs), _followed(new, new_defs)
    if old.get("type") != new.get("type") or old.get("format") != new.get("format"):
        yield f"{where}: was {_kind(old)}, is {_kind(new)}"
        return
    allowed: list[str] = old.get("enum", [])
    if gone := set(allowed) - set(new.get("enum", allowed)):
        yield f"{where}: no longer allows {sorted(gone)}"
    if demanded := set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{where}: now demands {sorted(demanded)}"
    for name, schema in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{where}.{name}: is gone"
        else:
            yield from _compare(schema, new["properties"][name], old_defs, new_defs, f"{where}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            yield from _compare(old[part], new[part], old_defs, new_defs, f"{where}[]")
    if "anyOf" in old or "anyOf" in new:
        was = [_kind(_followed(option, old_defs)) for option in old.get("anyOf", [])]
        now = [_kind(_followed(option, new_defs)) for option in new.get("anyOf", [])]
        if sorted(was) != sorted(now):
            yield f"{where}: was {' or '.join(was)}, is {' or '.join(now)}"


def _followed(schema: Schema, defs: Mapping[str, Schema]) -> Schema:
    reference = schema.get("$ref")
    return defs[reference.rsplit("/", 1)[1]] if reference else schema


def _kind(schema: Schema) -> str:
    return " ".join(filter(None, (schema.get("type"), schema.get("format")))) or "anything"


def example_of(schema: Schema, defs: Mapping[str, Schema] | None = None) -> Any:
    """A value that fits the schema, for the documents."""
    defs = schema.get("$defs", {}) if defs is None else defs
    schema = _followed(schema, defs)
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return example_of(schema[choice][0], defs)
    match schema.get("type"):
        case "object":
            return {name: example_of(part, defs) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [example_of(schema["items"], defs)]
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
    return _EXAMPLES.get(schema.get("format", ""), "text")


_EXAMPLES = {
    "uuid": "019a8f3e-5c00-7000-8000-0123456789ab",
    "date-time": "1998-06-30T12:00:00Z",
    "date": "1998-06-30",
}


def asyncapi() -> Schema:
    """The AsyncAPI 3 document of everything that is published."""
    channels: dict[str, Schema] = {}
    operations: dict[str, Schema] = {}
    for service in dict.fromkeys(event.service() for event in EVENTS):
        topic = f"{service}.events"
        events = published_by(service)
        channels[topic] = _channel(topic, {event.type: _message(event) for event in events})
        operations[f"receive-{service}-events"] = _receive(topic, f"Everything that {service} tells.")
    for topic in sorted({event.state_topic for event in EVENTS if event.state_topic}):
        states = {event.type: _message(event) for event in EVENTS if event.state_topic == topic}
        channels[topic] = _channel(topic, states, {"cleanup.policy": ["compact"]})
        operations[f"receive-{topic.replace('.', '-')}"] = _receive(topic, "The latest state of each key.")
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "CRM events",
            "version": "1.0.0",
            "description": (
                "CloudEvents 1.0 over Kafka in binary mode. Delivered at least once: drop what you had by"
                " `ce_source` and `ce_id`. In order for each aggregate, and along cause and effect within a"
                " topic; not between topics. Fields are only ever added: ignore those you do not know."
            ),
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    }


def _channel(topic: str, messages: Schema, configuration: Schema | None = None) -> Schema:
    kafka: Schema = {"topic": topic, "partitions": PARTITIONS}
    kafka |= {"topicConfiguration": configuration} if configuration else {}
    return {"address": topic, "messages": messages, "bindings": {"kafka": kafka}}


def _receive(topic: str, summary: str) -> Schema:
    return {"action": "receive", "channel": {"$ref": f"#/channels/{topic}"}, "summary": summary}


def _message(event: type[Event]) -> Schema:
    schema = schema_of(event)
    text = {"type": "string"}
    required = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_partitionkey"]
    optional = ["ce_sequence", "ce_traceparent", "ce_causationid", "ce_actor"]
    return {
        "name": event.type,
        "title": event.__name__,
        "summary": (event.__doc__ or "").splitlines()[0],
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "properties": {name: text for name in (*required, *optional)},
            "required": required,
        },
        "payload": schema,
        "bindings": {"kafka": {"key": {"type": "string", "description": "the customer's id"}}},
        "examples": [{"name": event.__name__, "payload": example_of(schema)}],
    }


def documents() -> dict[str, str]:
    """The snapshot as it should be: file name to text."""
    schemas = {f"{event.type}.json": schema_of(event) for event in EVENTS}
    return {name: _text(document) for name, document in (schemas | {ASYNCAPI: asyncapi()}).items()}


def _text(document: Schema) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def breaks(snapshot: Path = SNAPSHOT) -> list[str]:
    """Every change since the snapshot that its consumers could not follow."""
    current = {f"{event.type}.json": schema_of(event) for event in EVENTS}
    found: list[str] = []
    for path in sorted(snapshot.glob("*.v*.json")):
        if path.name not in current:
            found.append(f"{path.stem}: is no longer published")
            continue
        reasons = incompatibilities(json.loads(path.read_text(encoding="utf-8")), current[path.name])
        found += [f"{path.stem}: {reason}" for reason in reasons]
    return found


def drift(snapshot: Path = SNAPSHOT) -> list[str]:
    """The files of the snapshot that are not what the code publishes."""
    wanted = documents()
    present = {path.name: path.read_text(encoding="utf-8") for path in snapshot.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crm_shared.contracts.catalogue", description=__doc__)
    parser.add_argument("command", choices=["write", "check"])
    command = parser.parse_args().command
    if broken := breaks():
        sys.stderr.write("\n".join([*broken, "A new meaning is a new version of the event.", ""]))
        return 1
    if command == "check":
        if stale := drift():
            sys.stderr.write(
                f"The snapshot is not what the code publishes: {', '.join(stale)}; `make contracts`\n"
            )
        return int(bool(drift()))
    SNAPSHOT.mkdir(exist_ok=True)
    for name, document in documents().items():
        (SNAPSHOT / name).write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

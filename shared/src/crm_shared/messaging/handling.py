"""What becomes of a poll: one transaction for all of it, or for its parts when one record is at fault."""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import customers, dead_letters, erasure, inbox
from crm_shared.clock import Clock
from crm_shared.contracts.base import Event
from crm_shared.database import Sessions, in_words, unavailable
from crm_shared.dead_letters import DeadLetter, State
from crm_shared.ids import derived
from crm_shared.messaging.envelope import Record, Undecodable, decode, source
from crm_shared.metrics import Metrics
from crm_shared.subscriptions import Subscriptions
from crm_shared.tracing import Tracer, parse

log = logging.getLogger(__name__)

ATTEMPTS = 3
_BETWEEN_ATTEMPTS = 0.05
_LONGEST_DETAIL = 2000

_CLAIMED = ("failed", "key-parked")
"""Reasons of letters whose event is in the inbox: it was claimed in the transaction that parked it."""


@dataclass(frozen=True)
class Arrival:
    """A record and what it was found to be: an event for a handler, or a letter for nobody."""

    record: Record
    event: Event | None = None
    reason: str = ""
    detail: str = ""


class _Name(NamedTuple):
    """What makes an event the same event, however often it comes."""

    source: str
    id: UUID


def _name(event: Event) -> _Name:
    return _Name(event.envelope.source, event.id)


class Handling:
    """One service's dealing with records, whatever they are and whatever happens."""

    def __init__(
        self,
        consumer: str,
        subscriptions: Subscriptions,
        sessions: Sessions,
        clock: Clock,
        metrics: Metrics,
        tracer: Tracer,
    ) -> None:
        self._consumer = consumer
        self._subscriptions = subscriptions
        self._sessions = sessions
        self._clock = clock
        self._metrics = metrics
        self._tracer = tracer

    async def handle(self, records: Iterable[Record]) -> None:
        """Give every record its effect, once, or a place among the dead letters.

        Raises only trouble of the database. The same records may then be handed in again: what has had its
        effect has none a second time.
        """
        arrivals = [arrival for record in records if (arrival := self.read(record)) is not None]
        if not arrivals:
            return
        traces = sorted({a.event.envelope.traceparent or "" for a in arrivals if a.event} - {""})
        only = traces[0] if len(traces) == 1 else None
        with self._tracer.continued(only, "handle events", SpanKind.CONSUMER, links=traces):
            await self._handle(arrivals)

    async def _handle(self, arrivals: Sequence[Arrival]) -> None:
        """All in one transaction; when that fails, one half after the other, down to the one at fault."""
        if len(arrivals) == 1:
            return await self._alone(arrivals[0])
        try:
            await self._together(arrivals)
        except Exception as error:
            if unavailable(error):
                raise
            log.warning("poll is handled in parts", extra={"events": len(arrivals), "error": in_words(error)})
            middle = len(arrivals) // 2
            await self._handle(arrivals[:middle])
            await self._handle(arrivals[middle:])

    def read(self, record: Record) -> Arrival | None:
        """What the record is; None: an event that nobody here listens to."""
        service = record.topic.split(".", 1)[0]
        try:
            envelope, data = decode(record)
        except Undecodable as error:
            return Arrival(record, reason=error.reason, detail=str(error))
        if envelope.source != source(service) or not envelope.type.startswith(f"{service}."):
            detail = f"{envelope.type} from {envelope.source} on {record.topic}"
            return Arrival(record, reason="wrong-source", detail=detail)
        subscription = self._subscriptions.find(envelope.type)
        if subscription is None:
            self._metrics.events_consumed.labels("other", "skipped").inc()
            return None
        try:
            return Arrival(record, subscription.event_class.received(data, envelope))
        except ValidationError as error:
            # Where and what, but not the values: they may be personal.
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            detail = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
            return Arrival(record, reason="invalid", detail=detail)

    async def _together(self, arrivals: Sequence[Arrival]) -> None:
        results: Counter[tuple[str, str]] = Counter()
        async with self._sessions.begin() as session:
            handled = await self._apply(session, arrivals, results)
        self._report(handled, results)

    async def _apply(
        self, session: AsyncSession, arrivals: Sequence[Arrival], results: Counter[tuple[str, str]]
    ) -> list[Event]:
        """Effects and letters, in the caller's transaction; returns the events that a handler saw."""
        at = self._clock.now()
        events = [arrival.event for arrival in arrivals if arrival.event is not None]
        new = await inbox.claim(session, self._consumer, events, at=at)
        results.update((event.type, "duplicate") for event in events)
        results.subtract((event.type, "duplicate") for event in new)
        welcome = await erasure.admit(session, new)
        results.update((event.type, "erased") for event in new)
        results.subtract((event.type, "erased") for event in welcome)
        # After the claim: whoever parked an event of these keys has committed by now.
        blocked = await dead_letters.blocked(session, self._consumer, {event.key for event in welcome})
        if blocked:
            records = {_name(a.event): a.record for a in arrivals if a.event is not None}
            for event in welcome:
                if event.key in blocked and not event.survives_erasure:
                    detail = "an earlier event of this key is parked"
                    letter = self._letter(records[_name(event)], "key-parked", detail, at, event)
                    dead_letters.park(session, letter)
                    results[event.type, "parked"] += 1
        # To be forgotten waits for nothing: erasing takes what is parked along.
        free = [event for event in welcome if event.key not in blocked or event.survives_erasure]
        await self._subscriptions.dispatch(session, free, at=at)
        results.update((event.type, "ok") for event in free)
        for arrival in arrivals:
            if arrival.event is None:
                await self._park_undecodable(session, arrival, at)
                results["other", "parked"] += 1
        return free

    async def _alone(self, arrival: Arrival) -> None:
        """Handle it in a transaction of its own, a few times; what still fails is parked with its key."""
        failure = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(_BETWEEN_ATTEMPTS * 2**attempt)
            try:
                return await self._together([arrival])
            except Exception as error:
                if unavailable(error):
                    raise
                failure = in_words(error)
                self._metrics.events_consumed.labels(_label(arrival), "retried").inc()
        await self._park_failed(arrival, failure)

    async def _park_failed(self, arrival: Arrival, failure: str) -> None:
        event, at = arrival.event, self._clock.now()
        assert event is not None, "a record without event has no handler that could fail"
        async with self._sessions.begin() as session:
            if not await inbox.claim(session, self._consumer, [event], at=at):
                return
            letter = self._letter(arrival.record, "failed", failure, at, event)
            letter.attempts = ATTEMPTS
            dead_letters.park(session, letter)
        self._metrics.events_consumed.labels(event.type, "parked").inc()
        extra = {
            "type": event.type,
            "event_id": str(event.id),
            "key": event.key,
            "trace": _trace_ids([event]),
        }
        log.error("event parked: %s", failure, extra=extra)

    async def _park_undecodable(self, session: AsyncSession, arrival: Arrival, at: datetime) -> None:
        """Park the record alone; its id is made of its content, for it has none by which to know it again."""
        record = arrival.record
        digest = hashlib.sha256(repr((record.key, record.value, record.headers)).encode()).hexdigest()
        letter_id = derived("dead letter", self._consumer, record.topic, digest)
        if await session.get(DeadLetter, letter_id) is None:
            letter = self._letter(record, arrival.reason, arrival.detail, at)
            letter.id = letter_id
            if await _is_of_erased(session, letter):
                letter.value, letter.headers = None, {}
            dead_letters.park(session, letter)
            await session.flush()
            where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.error("record parked: %s", arrival.reason, extra=where)

    def _letter(
        self, record: Record, reason: str, detail: str, at: datetime, event: Event | None = None
    ) -> DeadLetter:
        return DeadLetter(
            consumer=self._consumer,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=event.key if event else None,
            record_key=_text(record.key) if record.key is not None else None,
            type=event.type if event else None,
            event_id=str(event.id) if event else None,
            reason=reason,
            detail=_text(detail)[:_LONGEST_DETAIL],
            headers={_text(name): _text(value) for name, value in record.headers},
            value=record.value,
            parked_at=at,
        )

    async def redrive(self) -> bool:
        """Try the oldest letter that somebody asked to be tried again; False: there was none.

        Raises only trouble of the database.
        """
        letter_id: UUID | None = None
        try:
            async with self._sessions.begin() as session:
                letter = await dead_letters.next_redriven(session, self._consumer)
                if letter is None:
                    return False
                letter_id = letter.id
                await self._apply_letter(session, letter)
                dead_letters.settle(letter, State.HANDLED, by="redrive", at=self._clock.now())
        except Exception as error:
            if unavailable(error) or letter_id is None:
                raise
            log.error("redrive failed", extra={"letter_id": str(letter_id)}, exc_info=error)
            await self._hold_back(letter_id, in_words(error))
        return True

    async def _apply_letter(self, session: AsyncSession, letter: DeadLetter) -> None:
        arrival = self.read(_Parked.of(letter))
        if arrival is None:
            raise LookupError(f"nobody listens to {letter.type}")
        if arrival.event is None:
            raise ValueError(f"{arrival.reason}: {arrival.detail}")
        events, at = [arrival.event], self._clock.now()
        if letter.reason not in _CLAIMED:
            events = await inbox.claim(session, self._consumer, events, at=at)
        await self._subscriptions.dispatch(session, await erasure.admit(session, events), at=at)

    async def _hold_back(self, letter_id: UUID, failure: str) -> None:
        async with self._sessions.begin() as session:
            letter = await dead_letters.get(session, letter_id, lock=True)
            if letter.state is not State.REDRIVING:
                return
            letter.state, letter.detail = State.PARKED, _text(failure)[:_LONGEST_DETAIL]
            letter.attempts += 1
            if letter.key is not None:
                await dead_letters.hold_back(session, self._consumer, [letter.key])

    def _report(self, handled: Sequence[Event], results: Counter[tuple[str, str]]) -> None:
        for (type_, result), count in results.items():
            if count:
                self._metrics.events_consumed.labels(type_, result).inc(count)
        if not handled:
            return
        now = self._clock.now()
        durations = {
            type_: self._metrics.event_end_to_end.labels(type_) for type_ in {e.type for e in handled}
        }
        for event in handled:
            durations[event.type].observe(max(0.0, (now - event.envelope.time).total_seconds()))
        log.info("events handled", extra={"events": len(handled), "traces": _trace_ids(handled)})


@dataclass
class _Parked:
    """A dead letter as the record that it was."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @classmethod
    def of(cls, letter: DeadLetter) -> "_Parked":
        headers = [(name, str(value).encode()) for name, value in letter.headers.items()]
        at = int(letter.parked_at.timestamp() * 1000)
        key = letter.record_key.encode() if letter.record_key is not None else None
        return cls(letter.topic, letter.partition, letter.offset, at, key, letter.value, headers)


async def _is_of_erased(session: AsyncSession, letter: DeadLetter) -> bool:
    """Is the record's key, which is all that is known of its owner, somebody who is to stay forgotten?"""
    try:
        customer_id = UUID(letter.record_key or "")
    except ValueError:
        return False
    return bool(await customers.erased(session, [customer_id]))


def _label(arrival: Arrival) -> str:
    return arrival.event.type if arrival.event else "other"


def _trace_ids(events: Iterable[Event]) -> list[str]:
    """The traces that these events belong to, so that each can be followed to this line of the log."""
    traces = (parse(traceparent) for traceparent in {event.envelope.traceparent for event in events})
    return sorted({trace.trace_id for trace in traces if trace})


def _text(value: str | bytes) -> str:
    """Something that the database can hold as text."""
    text = value if isinstance(value, str) else value.decode(errors="backslashreplace")
    return text.replace("\x00", "\\x00")

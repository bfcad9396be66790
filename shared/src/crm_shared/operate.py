"""The operator's commands: dead letters, refilling topics from state, erasing anew after a restore.

`python -m crm_shared.operate crm_loyalty dead-letters list|show|redrive|discard [ID]`,
`python -m crm_shared.operate crm_profiles republish [--since 2026-01-31] [--from-state customers [--anew]]`,
`python -m crm_shared.operate crm_tickets erasures`, which writes a line for each, and
`python -m crm_shared.operate crm_profiles re-erase`, which reads them; with the service's own environment.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from uuid import UUID

import orjson
from pydantic import TypeAdapter
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared import customers, dead_letters
from crm_shared.clock import SystemClock
from crm_shared.contracts.base import Envelope, Event
from crm_shared.contracts.profiles import CustomerErased
from crm_shared.customers import Forgotten
from crm_shared.database import Json, Sessions, create_engine, create_sessions
from crm_shared.dead_letters import DeadLetter
from crm_shared.ids import derived
from crm_shared.outbox import News, Outbox, publish_many
from crm_shared.settings import ServiceSettings, from_environment
from crm_shared.subscriptions import Subscriptions

Republisher = Callable[[AsyncSession], AsyncIterator[Event]]
"""Walks a service's aggregates and gives the event that tells the current state of each."""

Eraser = Callable[[AsyncSession, Forgotten, datetime], Awaitable[None]]
"""Forgets somebody anew; the instant is now."""

_CHUNK = 500
_FORGOTTEN = TypeAdapter(Forgotten)


def describe(letter: DeadLetter) -> Json:
    """A dead letter in plain values, what it carried included."""
    return {
        "id": str(letter.id),
        "state": letter.state.value,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": letter.key,
        "type": letter.type,
        "event_id": letter.event_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "parked_at": letter.parked_at.isoformat(),
        "headers": letter.headers,
        "value": letter.value.decode("utf-8", "replace") if letter.value is not None else None,
    }


async def list_letters(sessions: Sessions) -> None:
    """What waits, oldest first, a line of JSON each."""
    async with sessions() as session:
        for letter in await dead_letters.waiting(session):
            _say({k: v for k, v in describe(letter).items() if k not in ("headers", "value")})


async def show_letter(sessions: Sessions, letter_id: UUID) -> None:
    async with sessions() as session:
        _say(describe(await dead_letters.get(session, letter_id)))


async def redrive_letter(sessions: Sessions, letter_id: UUID) -> None:
    """Have the worker try it again, with all that wait for the same key."""
    async with sessions.begin() as session:
        _say({"redriving": [str(id) for id in await dead_letters.redrive(session, letter_id)]})


async def discard_letter(sessions: Sessions, letter_id: UUID) -> None:
    async with sessions.begin() as session:
        await dead_letters.discard(session, letter_id, by=getpass.getuser(), at=SystemClock().now())
        _say({"discarded": str(letter_id)})


async def republish_since(sessions: Sessions, since: datetime) -> None:
    """Have the relay send again, under the same ids, what happened since; consumers drop what they had."""
    async with sessions.begin() as session:
        again = update(Outbox).where(Outbox.time >= since, Outbox.sent_at.is_not(None)).values(sent_at=None)
        rows = await session.scalars(again.returning(Outbox.id))
        _say({"republished": len(rows.all())})


async def republish_state(sessions: Sessions, walk: Republisher, *, anew: bool = False) -> None:
    """Send the current state of every aggregate: for a new consumer, from before the outbox's memory.

    The ids come of aggregate and version, so whoever sees them twice drops the second. `anew` gives ids that
    nobody has seen: for a copy that was emptied or has got new columns, whose inbox remembers the old ones.
    """
    count = 0
    publish = _publish_anew if anew else _publish_again
    async with sessions.begin() as session:
        chunk: list[Event] = []
        async for event in walk(session):
            chunk.append(event)
            count += 1
            if len(chunk) == _CHUNK:
                await publish(session, chunk)
                chunk.clear()
        await publish(session, chunk)
    _say({"republished": count})


async def _publish_again(session: AsyncSession, events: Sequence[Event]) -> None:
    """Publish the events; those that were published like this before are sent once more."""
    by_id = {derived(event.type, event.subject, event.version): event for event in events}
    again = update(Outbox).where(Outbox.id.in_(by_id)).values(sent_at=None).returning(Outbox.id)
    known = set(await session.scalars(again))
    news = [News(event, id=id) for id, event in by_id.items() if id not in known]
    await publish_many(session, news, at=SystemClock().now())


async def _publish_anew(session: AsyncSession, events: Sequence[Event]) -> None:
    await publish_many(session, [News(event) for event in events], at=SystemClock().now())


async def list_erasures(sessions: Sessions) -> None:
    """Whom this service was told to forget, oldest first, a line of JSON each."""
    async with sessions() as session:
        for who in await customers.forgotten(session):
            _say(_FORGOTTEN.dump_python(who, mode="json"))


async def erase_again(sessions: Sessions, lines: Iterable[str], erase: Eraser) -> None:
    """Forget whom another service was told to forget, each in a transaction of its own.

    For a database that was restored from before. Who is forgotten here already stays so.
    """
    count = 0
    for line in filter(str.strip, lines):
        async with sessions.begin() as session:
            await erase(session, _FORGOTTEN.validate_json(line), SystemClock().now())
        count += 1
    _say({"erased": count})


def _eraser(package: str, settings: ServiceSettings) -> Eraser:
    """How the service forgets: as when it is told to; who tells the others has a function in `state`."""
    if find_spec(f"{package}.state") is not None:
        state = import_module(f"{package}.state")
        own: Callable[[ServiceSettings], Eraser] | None = getattr(state, "erase_again", None)
        if own is not None:
            return own(settings)
    subscriptions: Subscriptions = import_module(f"{package}.handlers").subscriptions

    async def erase(session: AsyncSession, who: Forgotten, at: datetime) -> None:
        data = {"customer_id": who.customer_id, "version": 1} | {
            "erasure_id": who.erasure_id,
            "absorbed": who.absorbed,
        }
        told = CustomerErased.model_validate(data)
        envelope = Envelope(
            id=derived("re-erase", who.erasure_id),
            source=f"/crm/{told.service()}",
            type=told.type,
            subject=told.subject,
            key=told.key,
            time=at,
        )
        await subscriptions.dispatch(session, [told.received(data, envelope)], at=at)

    return erase


def _say(facts: Json) -> None:
    sys.stdout.write(orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE).decode())


def _republishers(package: str) -> Mapping[str, Republisher]:
    """The nouns whose state the package can tell: `STATES` of its `state` module."""
    if find_spec(f"{package}.state") is None:
        return {}
    states: Mapping[str, Republisher] = import_module(f"{package}.state").STATES
    return states


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crm_shared.operate", description=__doc__)
    parser.add_argument("package", help="import name, as in crm_loyalty")
    commands = parser.add_subparsers(dest="command", required=True)
    letters = commands.add_parser("dead-letters", help="what could not be handled")
    actions = letters.add_subparsers(dest="action", required=True)
    actions.add_parser("list")
    for action in ("show", "redrive", "discard"):
        actions.add_parser(action).add_argument("id", type=UUID)
    again = commands.add_parser("republish", help="fill the topics again")
    source = again.add_mutually_exclusive_group(required=True)
    source.add_argument("--since", type=_instant, help="from the outbox, what happened since this instant")
    source.add_argument("--from-state", metavar="NOUN", help="from the tables, the current state of each")
    again.add_argument("--anew", action="store_true", help="with --from-state: also to who has had it before")
    commands.add_parser("erasures", help="whom this service was told to forget, a line each")
    commands.add_parser("re-erase", help="forget whom these lines name, after a restore; from standard input")
    return parser


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


async def _run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    settings = from_environment(import_module(f"{arguments.package}.settings").Settings)
    engine = create_engine(settings)
    sessions = create_sessions(engine)
    try:
        if arguments.command == "dead-letters":
            actions = {"show": show_letter, "redrive": redrive_letter, "discard": discard_letter}
            if arguments.action == "list":
                await list_letters(sessions)
            else:
                await actions[arguments.action](sessions, arguments.id)
        elif arguments.command == "erasures":
            await list_erasures(sessions)
        elif arguments.command == "re-erase":
            await erase_again(sessions, sys.stdin, _eraser(arguments.package, settings))
        elif arguments.since:
            await republish_since(sessions, arguments.since)
        else:
            states = _republishers(arguments.package)
            if arguments.from_state not in states:
                parser.error(f"{arguments.package} can republish: {', '.join(states) or 'nothing'}")
            await republish_state(sessions, states[arguments.from_state], anew=arguments.anew)
    finally:
        await engine.dispose()


def main() -> None:
    parser = _parser()
    asyncio.run(_run(parser.parse_args(), parser))


if __name__ == "__main__":
    main()

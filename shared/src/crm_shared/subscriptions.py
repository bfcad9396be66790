"""Which function handles which event, and how a poll is cut into groups that keep the order of each key."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from crm_shared.contracts.base import Event

E = TypeVar("E", bound=Event)
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)


class Handler(Protocol[E_contra]):
    """A route whose client is another service: a group of its events, in order, each for the first time."""

    def __call__(
        self, session: AsyncSession, events: Sequence[E_contra], *, at: datetime
    ) -> Awaitable[None]: ...


class Preparation(Protocol):
    """Takes the locks for a poll, whatever it holds, in their order: its groups would take them in theirs."""

    def __call__(self, session: AsyncSession, events: Sequence[Event], /) -> Awaitable[None]: ...


@dataclass(frozen=True)
class Subscription:
    """One event class and what is done with its events."""

    event_class: type[Event]
    handle: Callable[..., Awaitable[None]]


@dataclass
class Group:
    """Events of one type that are handled in one call."""

    event_class: type[Event]
    events: list[Event] = field(default_factory=list)


class Subscriptions:
    """What a service listens to: filled by `@subscriptions.on(EventClass)`, handed to the worker."""

    def __init__(self) -> None:
        self._by_type: dict[str, Subscription] = {}
        self._prepare: Preparation | None = None

    def on(self, *event_classes: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Have the decorated function handle these events; a second one for the same type is a mistake.

        Each call gets events of one type.
        """

        def register(handle: Handler[E]) -> Handler[E]:
            for event_class in event_classes:
                if event_class.type in self._by_type:
                    raise ValueError(f"{event_class.type} already has a handler")
                self._by_type[event_class.type] = Subscription(event_class, handle)
            return handle

        return register

    def first(self, prepare: Preparation) -> Preparation:
        """Have the decorated function see all events of a poll before any of them is handled."""
        if self._prepare is not None:
            raise ValueError("polls are prepared already")
        self._prepare = prepare
        return prepare

    def find(self, type: str) -> Subscription | None:
        return self._by_type.get(type)

    @property
    def types(self) -> list[str]:
        return sorted(self._by_type)

    @property
    def topics(self) -> list[str]:
        return sorted({subscription.event_class.topic() for subscription in self._by_type.values()})

    async def dispatch(self, session: AsyncSession, events: Sequence[Event], *, at: datetime) -> None:
        """Handle the events in groups, in order, in the caller's transaction."""
        if self._prepare is not None:
            await self._prepare(session, events)
        for group in group_events(events):
            subscription = self._by_type[group.event_class.type]
            await subscription.handle(session, group.events, at=at)
            await session.flush()


def group_events(events: Iterable[Event]) -> list[Group]:
    """Cut a poll into handler calls.

    Each event joins the earliest group of its type that does not come before the last group holding its key.
    So the events of a key keep their order, and a poll of one type is one group.
    """
    groups: list[Group] = []
    of_type: dict[str, list[int]] = {}
    last_of_key: dict[str, int] = {}
    for event in events:
        indexes = of_type.setdefault(event.type, [])
        position = bisect_left(indexes, last_of_key.get(event.key, 0))
        if position == len(indexes):
            indexes.append(len(groups))
            groups.append(Group(type(event)))
        index = indexes[position]
        groups[index].events.append(event)
        last_of_key[event.key] = index
    return groups

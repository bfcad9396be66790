"""What becomes of two customers' members when they are made one, and when that is undone: plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_profiles.models.merges import Side, Taken
from crm_shared.database import Json


@dataclass(frozen=True)
class Blended:
    """One member of both, and what it is to be."""

    member: str
    survivor: Any
    absorbed: Any
    result: Any
    taken: Taken
    conflict: bool
    """Both have a value, and only one of them can stay."""


@dataclass(frozen=True)
class Reverted:
    """The members after an undone merge; `kept` are those that it had changed and somebody else since."""

    members: Json
    kept: list[str]


def blend(
    survivor: Json, absorbed: Json, members: Sequence[str], prefer: Mapping[str, Side]
) -> list[Blended]:
    """Each member of the customer whom the two become.

    Lists and objects are united, with the survivor's value where both have the same key; of everything else
    the survivor's value stays unless there is none. Who is preferred for a member gives it alone, unless they
    have none.
    """
    return [_blended(name, survivor.get(name), absorbed.get(name), prefer.get(name)) for name in members]


def _blended(name: str, survivor: Any, absorbed: Any, preferred: Side | None) -> Blended:
    if preferred is Side.ABSORBED:
        result = absorbed if _told(absorbed) else survivor
    elif preferred is Side.SURVIVOR or not (_told(survivor) and _told(absorbed)):
        result = survivor if _told(survivor) else absorbed
    elif isinstance(survivor, list) and isinstance(absorbed, list):
        result = _united(survivor, absorbed)
    elif isinstance(survivor, dict) and isinstance(absorbed, dict):
        result = absorbed | survivor
    else:
        result = survivor
    taken, conflict = _taken(survivor, absorbed, result), _contradict(survivor, absorbed)
    return Blended(name, survivor, absorbed, result, taken, conflict)


def _contradict(one: Any, other: Any) -> bool:
    if not (_told(one) and _told(other)) or isinstance(one, list):
        return False
    if isinstance(one, dict):
        return any(one[key] != other[key] for key in one.keys() & other.keys())
    return bool(one != other)


def _taken(survivor: Any, absorbed: Any, result: Any) -> Taken:
    if not _told(result):
        return Taken.NEITHER
    if result == survivor:
        return Taken.BOTH if survivor == absorbed else Taken.SURVIVOR
    return Taken.ABSORBED if result == absorbed else Taken.BOTH


def _told(value: Any) -> bool:
    return value is not None and value != [] and value != {}


def _united(one: list[Any], other: list[Any]) -> list[Any]:
    return sorted({*one, *other})


def revert(current: Json, before: Json, after: Json) -> Reverted:
    """Take back what led from `before` to `after`; what is neither of them now stays."""
    members, kept = dict(current), []
    for name in after:
        old, new, now = before.get(name), after[name], current.get(name)
        if old == new:
            continue
        if isinstance(new, list):
            members[name] = _reverted_list(now or [], old or [], new)
        elif isinstance(new, dict):
            inner = revert(now or {}, old or {}, (old or {}) | new)
            members[name] = {key: value for key, value in inner.members.items() if value is not None}
            kept += [f"{name}.{key}" for key in inner.kept]
        elif now == new:
            members[name] = old
        elif now != old:
            kept.append(name)
    return Reverted(members, kept)


def _reverted_list(now: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    added, removed = {*after} - {*before}, {*before} - {*after}
    return sorted(({*now} - added) | removed)

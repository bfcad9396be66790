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


_UNITED = "tags"
_KEYED = "attributes"
_TOGETHER = {"birth_calendar": "birth_date", "lunar_birth_date": "birth_date"}
"""Members that say nothing without another one, and come from where that comes from."""


def blend(
    survivor: Json, absorbed: Json, members: Sequence[str], prefer: Mapping[str, Side]
) -> list[Blended]:
    """Each member of the customer whom the two become.

    Tags and custom attributes are united, with the survivor's value where both have the same key; of
    everything else the survivor's value stays unless there is none. Who is preferred for a member gives it
    alone, unless they have none.
    """
    blended = []
    for name in members:
        leader = _TOGETHER.get(name, name)
        side = prefer.get(leader)
        if leader != name:
            side = side or Side.SURVIVOR
            side = (
                side if _told((survivor if side is Side.SURVIVOR else absorbed).get(leader)) else _other(side)
            )
        blended.append(_blended(name, survivor.get(name), absorbed.get(name), side, strictly=leader != name))
    return blended


def _other(side: Side) -> Side:
    return Side.ABSORBED if side is Side.SURVIVOR else Side.SURVIVOR


def _blended(name: str, survivor: Any, absorbed: Any, preferred: Side | None, *, strictly: bool) -> Blended:
    if preferred is Side.ABSORBED:
        result = absorbed if strictly or _told(absorbed) else survivor
    elif preferred is Side.SURVIVOR or not (_told(survivor) and _told(absorbed)):
        result = survivor if strictly or _told(survivor) else absorbed
    elif name == _UNITED:
        result = sorted({*survivor, *absorbed})
    elif name == _KEYED:
        result = absorbed | survivor
    else:
        result = survivor
    taken, conflict = _taken(survivor, absorbed, result), _contradict(name, survivor, absorbed)
    return Blended(name, survivor, absorbed, result, taken, conflict and not strictly)


def _contradict(name: str, one: Any, other: Any) -> bool:
    if not (_told(one) and _told(other)) or name == _UNITED:
        return False
    if name == _KEYED:
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


def revert(current: Json, before: Json, after: Json) -> Reverted:
    """Take back what led from `before` to `after`; what is neither of them now stays."""
    members, kept = dict(current), []
    for name in after:
        old, new, now = before.get(name), after[name], current.get(name)
        leader = _TOGETHER.get(name, name)
        if old == new:
            continue
        if name == _UNITED:
            members[name] = _reverted_list(now or [], old or [], new or [])
        elif name == _KEYED:
            members[name], inner = _reverted_keys(now or {}, old or {}, new or {})
            kept += inner
        elif current.get(leader) == after.get(leader) and now == new:
            members[name] = old
        elif now != old and leader == name:
            kept.append(name)
    return Reverted(members, kept)


def _reverted_list(now: list[str], before: list[str], after: list[str]) -> list[str]:
    added, removed = {*after} - {*before}, {*before} - {*after}
    return sorted(({*now} - added) | removed)


def _reverted_keys(now: Json, before: Json, after: Json) -> tuple[Json, list[str]]:
    values, kept = dict(now), []
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new and now.get(key) == new:
            values[key] = old
        elif old != new and now.get(key) != old:
            kept.append(f"{_KEYED}.{key}")
    return {key: value for key, value in values.items() if value is not None}, kept

"""From the rows of a file to customers: each column's text goes to the member that the mapping names."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import JsonValue

from crm_profiles.errors import InvalidMapping
from crm_profiles.exports.spreadsheets import unguarded
from crm_profiles.imports.headings import MANY
from crm_profiles.models.attributes import AttributeType
from crm_profiles.models.customers import Channel, ContactKind
from crm_profiles.schemas.imports import DateOrder, MappingIn
from crm_shared.database import Json
from crm_shared.problems import Fault

_SEPARATORS = re.compile(r"[,;|，；、]")
_BETWEEN = {
    ContactKind.PHONE: re.compile(r"[,;|，；、\n]"),
    ContactKind.EMAIL: re.compile(r"[,;，；、\n]"),
    ContactKind.SOCIAL: re.compile(r"\n"),
}
_DAY = re.compile(r"(\d{1,4})\s*[./年-]\s*(\d{1,2})\s*[./月-]\s*(\d{1,4})\s*日?(?:[ T]00:00(?::00)?)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_NUMBER = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,340})?")
_TRUTH: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "y", "1", "是", "有", "sí", "si"), True),
    **dict.fromkeys(("false", "no", "n", "0", "否", "无"), False),
}
_GENDERS = {
    **dict.fromkeys(("f", "woman", "女", "女性", "mujer", "femenino"), "female"),
    **dict.fromkeys(("m", "man", "男", "男性", "hombre", "varón", "masculino"), "male"),
}
_PLACES = {
    DateOrder.YMD: (0, 1, 2),
    DateOrder.DMY: (2, 1, 0),
    DateOrder.MDY: (2, 0, 1),
}
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass
class Mapped:
    """What a row says, as a body would, and the columns that its members come from, by JSON pointer."""

    body: Json = field(default_factory=dict)
    customer_id: str | None = None
    given: str = ""
    family: str = ""
    columns: dict[str, int] = field(default_factory=dict)

    def pointer_of(self, kind: str) -> str:
        """Of the first contact point of the kind."""
        points = self.body.get("contact_points", [])
        return next((f"/contact_points/{i}" for i, point in enumerate(points) if point["kind"] == kind), "")


Put: TypeAlias = Callable[[Mapped, str, int], None]
"""Puts the text of a cell where it belongs."""


class Reader:
    """A mapping made ready for many rows; raises InvalidMapping when it does not fit the header."""

    def __init__(
        self,
        asked: MappingIn,
        header: Sequence[str],
        source: str,
        types: Mapping[str, AttributeType],
    ) -> None:
        _check(asked, header)
        self._header = header
        self._source = source
        self._region = asked.region
        self._targets = [(column.column, column.to) for column in asked.columns]
        self._puts = [
            (each.column, _put(each.to, each.dates, each.separator, types)) for each in asked.columns
        ]

    def unfit(self, cells: Sequence[str]) -> str | None:
        """What is wrong with the row as a whole."""
        if any(cell.strip() for cell in cells[len(self._header) :]):
            return f"The row has {len(cells)} cells, the header {len(self._header)}."
        return "Text cannot hold U+0000." if any("\0" in cell for cell in cells) else None

    def read(self, cells: Sequence[str]) -> Mapped:
        """What the row says; empty cells say nothing."""
        mapped = Mapped()
        for index, put in self._puts:
            if index < len(cells) and cells[index].strip():
                put(mapped, unguarded(cells[index]), index)
        if mapped.given or mapped.family:
            mapped.body.setdefault("name", _full_name(mapped.given, mapped.family))
        if self._region is not None:
            mapped.body.setdefault("region", self._region)
        mapped.body |= {"source": self._source, "channel": Channel.IMPORT}
        return mapped

    def blame(self, mapped: Mapped, fault: Fault) -> Json:
        """The fault as a verdict has it: the heading of the column instead of a pointer into the body."""
        pointer = fault["pointer"]
        while pointer and pointer not in mapped.columns:
            pointer = pointer.rpartition("/")[0]
        index = mapped.columns.get(pointer)
        if index is None:
            index = next((i for i, to in self._targets if f"/{to}" == fault["pointer"]), None)
        return {
            "column": self._header[index] if index is not None else None,
            "code": fault["code"],
            "message": fault["message"],
        }


def _check(asked: MappingIn, header: Sequence[str]) -> None:
    """Every column is there, no member is told twice, and a row can be recognised and named."""
    faults: list[Fault] = []
    columns: set[int] = set()
    targets: set[str] = set()
    for position, column in enumerate(asked.columns):
        pointer = f"/columns/{position}"
        if column.column >= len(header):
            faults.append(_fault(f"{pointer}/column", "no_such_column", f"There are {len(header)} columns."))
        if column.column in columns:
            faults.append(_fault(f"{pointer}/column", "repeated_column", "The column is mapped already."))
        if column.to in targets and column.to not in MANY:
            faults.append(_fault(f"{pointer}/to", "repeated_target", "Another column is mapped to this."))
        columns.add(column.column)
        targets.add(column.to)
    if not targets & {"name", "given_name", "family_name"}:
        faults.append(_fault("/columns", "no_name", "No column is the name."))
    if not targets & {"id", "external_id"}:
        faults.append(
            _fault("/columns", "no_id", "No column says who a row is about: `external_id` or `id`.")
        )
    if faults:
        raise InvalidMapping("The mapping does not fit the file; errors says where.", errors=faults)


def _fault(pointer: str, code: str, message: str) -> Fault:
    return {"pointer": pointer, "code": code, "message": message}


def _put(to: str, dates: DateOrder | None, separator: str | None, types: Mapping[str, AttributeType]) -> Put:
    if to in ("phone", "email", "social"):
        return _contact_points(ContactKind(to), separator)
    if to.startswith("attributes."):
        key = to.removeprefix("attributes.")
        return _attribute(key, types.get(key, AttributeType.STRING), separator)
    if to.startswith("address."):
        return _address(to.removeprefix("address."))
    if to == "tags":
        return _tags(separator)
    if to == "birth_date":
        return _birth_date(dates or DateOrder.YMD)
    return _OWN_WAYS.get(to) or _member(to)


def _member(name: str) -> Put:
    def put(mapped: Mapped, text: str, index: int) -> None:
        mapped.body[name] = text.strip()
        mapped.columns[f"/{name}"] = index

    return put


def _contact_points(kind: ContactKind, separator: str | None) -> Put:
    between = re.compile(re.escape(separator)) if separator else _BETWEEN[kind]

    def put(mapped: Mapped, text: str, index: int) -> None:
        points = mapped.body.setdefault("contact_points", [])
        for part in between.split(text):
            if value := part.strip():
                mapped.columns[f"/contact_points/{len(points)}"] = index
                points.append({"kind": kind, "value": value})

    return put


def _address(part: str) -> Put:
    def put(mapped: Mapped, text: str, index: int) -> None:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        mapped.body.setdefault("address", {})[part] = lines if part == "lines" else text.strip()
        mapped.columns[f"/address/{part}"] = index

    return put


def _attribute(key: str, type: AttributeType, separator: str | None) -> Put:
    def put(mapped: Mapped, text: str, index: int) -> None:
        mapped.body.setdefault("attributes", {})[key] = _value(text, type, separator)
        mapped.columns[f"/attributes/{key}"] = index

    return put


def _value(text: str, type: AttributeType, separator: str | None) -> JsonValue:
    """The text as a value of the type; what cannot be read so is refused as it is."""
    word = text.strip()
    match type:
        case AttributeType.NUMBER if _NUMBER.fullmatch(word):
            return int(word) if word.lstrip("-").isdecimal() else float(word)
        case AttributeType.BOOLEAN:
            return _TRUTH.get(word.casefold(), word)
        case AttributeType.CHOICES:
            return _several(text, separator)
        case _:
            return word


def _several(text: str, separator: str | None) -> list[JsonValue]:
    """Of a value in each line, none is cut: that is how those with commas in them are exported."""
    parts = text.split(separator or "\n") if separator or "\n" in text else _SEPARATORS.split(text)
    return [part.strip() for part in parts if part.strip()]


def _tags(separator: str | None) -> Put:
    def put(mapped: Mapped, text: str, index: int) -> None:
        mapped.body.setdefault("tags", []).extend(_several(text, separator))
        mapped.columns["/tags"] = index

    return put


def _birth_date(order: DateOrder) -> Put:
    year, month, day = _PLACES[order]

    def put(mapped: Mapped, text: str, index: int) -> None:
        text = text.strip()
        if found := _DAY.fullmatch(text):
            parts = found.groups()
            # A year first is a year, whatever the order of the others.
            y, m, d = (0, 1, 2) if len(parts[0]) == 4 else (year, month, day)
            text = f"{parts[y]:0>4}-{parts[m]:0>2}-{parts[d]:0>2}"
        elif found := _COMPACT.fullmatch(text):
            text = "-".join(found.groups())
        mapped.body["birth_date"] = text
        mapped.columns["/birth_date"] = index

    return put


def _gender(mapped: Mapped, text: str, index: int) -> None:
    word = text.strip().casefold()
    mapped.body["gender"] = _GENDERS.get(word, word)
    mapped.columns["/gender"] = index


def _region(mapped: Mapped, text: str, index: int) -> None:
    mapped.body["region"] = text.strip().upper()
    mapped.columns["/region"] = index


def _id(mapped: Mapped, text: str, index: int) -> None:
    mapped.customer_id = text.strip()
    mapped.columns["/id"] = index


def _given_name(mapped: Mapped, text: str, index: int) -> None:
    mapped.given = text.strip()
    mapped.columns.setdefault("/name", index)


def _family_name(mapped: Mapped, text: str, index: int) -> None:
    mapped.family = text.strip()
    mapped.columns.setdefault("/name", index)


def _full_name(given: str, family: str) -> str:
    """Family name first where that is the custom, and nothing between."""
    if _CJK.search(given + family):
        return family + given
    return f"{given} {family}".strip()


_OWN_WAYS: Mapping[str, Put] = {
    "id": _id,
    "given_name": _given_name,
    "family_name": _family_name,
    "gender": _gender,
    "region": _region,
}

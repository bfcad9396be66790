"""What can earn points beside a purchase, and which of it a rule is about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

Value = bool | int | str


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a customer did; its properties are whatever is told along with it."""

    occurred_at: datetime
    type: str
    properties: Mapping[str, Value] = field(default_factory=dict)
    holidays: frozenset[str] = frozenset()
    """What is celebrated on its day, as at a purchase."""


@dataclass(frozen=True, slots=True)
class Property:
    """What a property must be; with nothing but its name: it must be there."""

    name: str
    one_of: tuple[Value, ...] = ()
    at_least: int | None = None
    at_most: int | None = None

    def against(self, properties: Mapping[str, Value]) -> Iterator[str]:
        found = properties.get(self.name)
        if found is None:
            yield f"there is no {self.name}"
            return
        # In Python true is 1; nobody who writes rules means that.
        if self.one_of and not any(found == each and type(found) is type(each) for each in self.one_of):
            yield f"{self.name} {_shown(found)} is not {_one_of(self.one_of)}"
        if self.at_least is None and self.at_most is None:
            return
        if isinstance(found, bool | str):
            yield f"{self.name} {_shown(found)} is no number"
        elif self.at_least is not None and found < self.at_least:
            yield f"{self.name} {found} is less than {self.at_least}"
        elif self.at_most is not None and found > self.at_most:
            yield f"{self.name} {found} is more than {self.at_most}"

    @property
    def can_hold(self) -> bool:
        return not self.one_of or any(not list(self.against({self.name: each})) for each in self.one_of)

    def in_words(self) -> str:
        parts = [f"being {_one_of(self.one_of)}"] if self.one_of else []
        parts += [f"of at least {self.at_least}"] if self.at_least is not None else []
        parts += [f"of at most {self.at_most}"] if self.at_most is not None else []
        return " ".join([f"with {self.name}", *parts])


@dataclass(frozen=True, slots=True)
class Happenings:
    """Those of one of these types of which all of this holds."""

    types: frozenset[str]
    properties: tuple[Property, ...] = ()

    def against(self, happening: Happening) -> Iterator[str]:
        """Why it is none of them, in words."""
        if happening.type not in self.types:
            yield f"{happening.type} is not {' or '.join(sorted(self.types))}"
            return
        for each in self.properties:
            yield from each.against(happening.properties)

    def in_words(self) -> str:
        """Which they are, in words."""
        types = " or ".join(sorted(self.types))
        return "; ".join([types, *(each.in_words() for each in self.properties)])


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one_of(values: tuple[Value, ...]) -> str:
    return " or ".join(_shown(value) for value in values)

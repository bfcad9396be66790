"""The single values that bodies are made of, and what each may be."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from crm_shared.fields import VISIBLE, legible


def _as_set(values: Iterable[str] | None) -> list[str]:
    return sorted(set(values or ()))


Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]
Language = Annotated[str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Region = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64, pattern=VISIBLE), legible]
Tags = Annotated[Annotated[list[Tag], Field(max_length=50)] | None, AfterValidator(_as_set)]
Source = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Reference = Annotated[str, StringConstraints(strip_whitespace=True, max_length=128, pattern=VISIBLE), legible]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=VISIBLE), legible]

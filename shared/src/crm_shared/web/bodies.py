"""Request bodies that are JSON and nothing worse: UTF-8, not too deep, storable in PostgreSQL."""

import re

from crm_shared.problems import BadRequest, MalformedJSON, NestedTooDeeply

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# Escapes one by one, so that an escaped backslash is not taken for the start of the next one.
_ESCAPES = re.compile(rb"\\(?:(u0000)|.)", re.DOTALL)
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class NulCharacter(BadRequest):
    """Text may hold every character but U+0000, which the database cannot store."""


def check(body: bytes, max_depth: int) -> None:
    """Raise MalformedJSON, NestedTooDeeply or NulCharacter before anybody spends time on parsing the body."""
    if body.count(b"[") + body.count(b"{") > max_depth and _deeper(body, max_depth):
        raise NestedTooDeeply(f"JSON may be nested {max_depth} levels deep.")
    if b"\\u0000" in body and any(escape[1] for escape in _ESCAPES.finditer(body)):
        raise NulCharacter("Text cannot hold U+0000.")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedJSON(f"JSON is UTF-8; byte {error.start} is not.", position=error.start) from None


def _deeper(body: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than the limit: each pass takes the innermost away, at C's speed."""
    brackets = _STRINGS.sub(b"", body).translate(_SAME_BRACKETS, _NO_BRACKETS)
    for _ in range(limit):
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > limit

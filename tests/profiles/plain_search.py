"""Searching names without an index: what the database must find, said again in plain Python."""

import re
from collections.abc import Iterable
from unicodedata import normalize

_DROPPED = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670'`\u02b9-\u02bf\u200c\u200d\u2018\u2019]"
)
_SPACELESS = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
_LETTERS = str.maketrans("ıøđłðħىةکی", "iodldhيهكي", "") | {ord("æ"): "ae", ord("œ"): "oe"}
_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz",
    "абвгдежзиклмнопрстуфхцчшщъыьэюяєіїјѕљњђћџґ",
    "αβγδεζηθικλμνξοπρστυφχψω",
)
RANKS = ("exact", "prefix", "word_prefix", "substring", "typo")


def key(name: str) -> str:
    """The name folded, a space around each word."""
    folded = normalize("NFC", _DROPPED.sub("", normalize("NFKD", name).casefold())).translate(_LETTERS)
    apart = _SPACELESS.sub(lambda match: f" {match[0]} ", folded)
    words = "".join(letter if letter.isalnum() else " " for letter in apart).split()
    return f" {' '.join(words)} "


def how(question: str, name: str) -> str | None:
    """The best way in which the name matches, if it does."""
    stem, held = key(question).rstrip(), key(name)
    if not stem:
        return None
    if held.rstrip() == stem:
        return "exact"
    if stem in held:
        return "prefix" if held.startswith(stem) else "word_prefix"
    pieces = [key(piece) for piece in question.split() if key(piece).strip()]
    if all(_has(held, piece) for piece in pieces):
        return "substring"
    for index, piece in enumerate(pieces):
        others = pieces[:index] + pieces[index + 1 :]
        if _corrects(held.split(), piece) and all(_has(held, other) for other in others):
            return "typo"
    return None


def find(question: str, names: Iterable[str]) -> list[tuple[int, str]]:
    """Indexes of those that match and how, the best first; a later index is a newer customer."""
    found = []
    for index, name in enumerate(names):
        way = how(question, name)
        if way is not None:
            held, stem = key(name), key(question).rstrip()
            tail = held[held.index(stem) + 1 :][:40] if way == "word_prefix" else held
            found.append((RANKS.index(way), tail, -index, way))
    return [(-minus, way) for _, _, minus, way in sorted(found)]


def one_slip_apart(one: str, other: str) -> bool:
    """A letter less, more, another, or two neighbours in turn."""
    if abs(len(one) - len(other)) > 1 or one == other:
        return False
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(map(len, (one, other)))
    )
    a, b = one[same:], other[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def _has(held: str, piece: str) -> bool:
    words = piece.split()
    return (words[0] if len(words) == 1 and len(words[0]) >= 3 else piece.rstrip()) in held


def _corrects(words: Iterable[str], piece: str) -> bool:
    asked = piece.strip()
    alphabet = next((a for a in _ALPHABETS if set(asked) <= set(a)), None)
    if alphabet is None or not 4 <= len(asked) <= 24:
        return False
    return any(one_slip_apart(asked, word) and set(word) <= set(alphabet) for word in words)

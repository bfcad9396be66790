"""In which encoding a text is written: its sender says so, its first bytes do, or what can then be read."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from crm_profiles.errors import UndecodableFile
from crm_profiles.models.files import Encoding

_AT_ONCE = 1024 * 1024
_ASCII = re.compile("[\x00-\x7f]+")
_MOSTLY = 0.7


_CODECS = {
    Encoding.UTF_8: "utf-8-sig",
    Encoding.UTF_16: "utf-16",
    Encoding.GB18030: "gb18030",
    Encoding.LATIN_1: "cp1252",
}
_MARKS = {
    codecs.BOM_UTF8: Encoding.UTF_8,
    codecs.BOM_UTF16_LE: Encoding.UTF_16,
    codecs.BOM_UTF16_BE: Encoding.UTF_16,
}


@dataclass(frozen=True)
class Decision:
    """The encoding and why it was taken."""

    encoding: Encoding
    because: str


def codec(encoding: Encoding) -> str:
    return _CODECS[encoding]


def decide(path: Path, asked: Encoding | None) -> Decision:
    """The whole file can be decoded in what is decided; raises UndecodableFile."""
    with path.open("rb") as file:
        start = file.read(4)
    mark = next((encoding for bom, encoding in _MARKS.items() if start.startswith(bom)), None)
    if asked or mark:
        encoding = asked or mark or Encoding.UTF_8
        position = _undecodable(path, encoding)
        if position is not None:
            raise UndecodableFile(
                f"At byte {position} the file is not {encoding}.", encoding=encoding, position=position
            )
        return Decision(encoding, "it was asked for" if asked else "the file begins with its mark (BOM)")
    not_utf_8 = _undecodable(path, Encoding.UTF_8)
    if not_utf_8 is None:
        return Decision(Encoding.UTF_8, "all of the file is UTF-8")
    share = _share_of_plausible(path, not_utf_8)
    if share >= _MOSTLY and _undecodable(path, Encoding.GB18030) is None:
        because = f"it is not UTF-8, and read as GB18030 {share:.0%} of what is not ASCII is plausible"
        return Decision(Encoding.GB18030, because)
    if _undecodable(path, Encoding.LATIN_1) is None:
        return Decision(
            Encoding.LATIN_1,
            f"it is not UTF-8, and read as GB18030 only {share:.0%} of what is not ASCII is plausible",
        )
    raise UndecodableFile(
        f"From byte {not_utf_8} on the file is in none of {', '.join(Encoding)}.", position=not_utf_8
    )


def _undecodable(path: Path, encoding: Encoding) -> int | None:
    """The first byte that is no text in it."""
    decoder = codecs.getincrementaldecoder(codec(encoding))()
    read = 0
    with path.open("rb") as file:
        while True:
            part = file.read(_AT_ONCE)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(part, final=not part)
            except UnicodeDecodeError as error:
                return max(0, read - held + error.start)
            if not part:
                return None
            read += len(part)


def _share_of_plausible(path: Path, position: int) -> float:
    """Of the characters beyond ASCII: how many are common in GB 2312, or four bytes long.

    In Chinese text nearly all are, and in names of other scripts; accented letters taken for halves of
    Chinese characters make rare ones, or none, and never the strict pattern of four bytes.
    """
    with path.open("rb") as file:
        file.seek(max(0, position - _AT_ONCE // 2))
        file.readline()  # to where a character surely begins
        if file.tell() > position:
            file.seek(0)
        text = file.read(_AT_ONCE).decode("gb18030", "replace")
    beyond = _ASCII.sub("", text)
    wrong = beyond.count("\ufffd")
    if not beyond:
        return 0.0
    leads = beyond.encode("gb2312", "ignore")[::2]
    common = sum(0xA1 <= lead <= 0xA9 or 0xB0 <= lead <= 0xD7 for lead in leads)
    # Each has two bytes or four, the character for what could not be read among the latter.
    long = len(beyond.encode("gb18030")) // 2 - len(beyond) - wrong
    return (common + long) / len(beyond)

"""A list is walked without losing or repeating a row, whatever is written meanwhile."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.chance import examples

from crm_shared.database import TYPES, Sessions, new_metadata
from crm_shared.pages import Cursors, InvalidCursor, Key, Listing, PageRequest, paginate

CURSORS = Cursors("a secret of thirty-two bytes or more")


class Base(DeclarativeBase):
    """The tables of this test."""

    metadata = new_metadata()
    type_annotation_map = TYPES


class Word(Base):
    """Something to list."""

    __tablename__ = "words"
    __table_args__ = {"prefixes": ["TEMPORARY"]}

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


async def walk(sessions: Sessions, words: list[str], keys: list[Key], limit: int) -> list[int]:
    """The ids of all rows, page by page."""
    seen: list[int] = []
    async with sessions() as session:
        await (await session.connection()).run_sync(Base.metadata.create_all)
        session.add_all(Word(id=number, text=word) for number, word in enumerate(words))
        await session.flush()
        cursor: str | None = None
        while True:
            page: Listing[Word] = await paginate(
                session, select(Word), keys, page=PageRequest(CURSORS, cursor, limit)
            )
            assert len(page.items) <= limit
            seen += [word.id for word in page.items]
            cursor = page.next_cursor
            if cursor is None:
                assert not page.has_more
                return seen


@given(
    words=st.lists(st.sampled_from(["a", "b", "ä", "王", "小明", ""]), max_size=30),
    limit=st.integers(1, 7),
    descending=st.tuples(st.booleans(), st.booleans()),
)
@settings(max_examples=examples(40))
async def test_pages_hold_every_row_once_in_the_order_of_the_keys(
    sessions: Sessions, words: list[str], limit: int, descending: tuple[bool, bool]
) -> None:
    keys = [Key(Word.text, descending[0]), Key(Word.id, descending[1])]
    seen = await walk(sessions, words, keys, limit)
    by_id = sorted(range(len(words)), reverse=descending[1])
    assert seen == sorted(by_id, key=lambda number: words[number], reverse=descending[0])


@pytest.mark.parametrize("change", [0, 10, -1])
def test_a_cursor_that_was_tampered_with_is_refused(change: int) -> None:
    cursor = CURSORS.encode([1, "b"], "filters")
    tampered = list(cursor)
    tampered[change] = "A" if tampered[change] != "A" else "B"
    with pytest.raises(InvalidCursor):
        CURSORS.decode("".join(tampered), "filters")


@pytest.mark.parametrize("cursor", ["", "x", "ÿÿÿ", "====", "a" * 5000, "\ud800"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.decode(cursor, "filters")


def test_a_cursor_of_a_list_with_other_filters_is_refused() -> None:
    with pytest.raises(InvalidCursor, match="other filters"):
        CURSORS.decode(CURSORS.encode([1], "status=open"), "status=closed")


def test_another_deployments_cursor_is_refused() -> None:
    foreign = Cursors("another secret of thirty-two bytes!").encode([1], "filters")
    with pytest.raises(InvalidCursor):
        CURSORS.decode(foreign, "filters")

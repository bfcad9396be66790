"""Links to unsubscribe: only who has the secret makes one, and it is read as it was made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_shared.permissions import ContactChannel
from crm_shared.unsubscribing import PATH, Subscription, path, read

SECRET = b"a secret of thirty-two bytes and more"
PURPOSES = st.from_regex("^[a-z][a-z_]{0,31}$", fullmatch=True)
SUBSCRIPTIONS = st.builds(Subscription, st.uuids(), PURPOSES, st.sampled_from(ContactChannel))


def token(subscription: Subscription) -> str:
    return path(subscription, SECRET).removeprefix(PATH)


@given(SUBSCRIPTIONS)
def test_a_link_is_read_as_it_was_made(subscription: Subscription) -> None:
    assert read(token(subscription), SECRET) == subscription
    assert read(token(subscription), b"another secret of thirty-two bytes") is None


@given(SUBSCRIPTIONS, st.data())
def test_nothing_of_a_link_can_be_changed(subscription: Subscription, data: st.DataObject) -> None:
    good = token(subscription)
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.characters().filter(lambda letter: letter != good[at]))
    assert read(good[:at] + other + good[at + 1 :], SECRET) is None
    assert read(good[:at], SECRET) is None
    assert read(good + other, SECRET) is None


@pytest.mark.parametrize("junk", ["", "=", "a", "é", "A" * 43, "A" * 60])
def test_junk_is_no_link(junk: str) -> None:
    assert read(junk, SECRET) is None

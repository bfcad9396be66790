"""Settings that contradict each other are refused at the start."""

import pytest
from pydantic import ValidationError

from crm_shared.settings import ServiceSettings
from crm_shared.testing import Signer

SECRET = "this must never be shown"


def settings(
    *, topic: int = 7, outbox: int = 28, inbox: int = 38, public_key: str | None = None
) -> ServiceSettings:
    return ServiceSettings(
        service="tickets",
        database_url="postgresql://nobody@nowhere/nothing",
        kafka_bootstrap_servers="nowhere:1",
        internal_public_key=public_key or Signer().public_key,
        cursor_secret="cursors of the tests, thirty-two bytes and more",
        topic_retention_days=topic,
        outbox_retention_days=outbox,
        inbox_retention_days=inbox,
    )


@pytest.mark.parametrize(
    ("topic", "outbox", "inbox"),
    [
        (7, 28, 37),  # sent again on the last day of the outbox, read on the last day of the topic
        (7, 28, 28),
        (29, 28, 90),
    ],
)
def test_an_inbox_that_forgets_what_may_come_again_is_refused(topic: int, outbox: int, inbox: int) -> None:
    with pytest.raises(ValidationError, match="retention contradicts itself"):
        settings(topic=topic, outbox=outbox, inbox=inbox)


def test_an_inbox_that_outlasts_outbox_and_topic_together_is_accepted() -> None:
    assert settings(topic=7, outbox=28, inbox=38).inbox_retention_days == 38


@pytest.mark.parametrize(
    "key",
    [
        SECRET,
        f'{{"kty": "OKP", "crv": "{SECRET}", "x": "AA"}}',
        f'{{"kty": "OKP", "crv": "Ed25519", "x": ["{SECRET}"]}}',
        f'{{"kty": "oct", "k": "{SECRET}"}}',
    ],
)
def test_a_key_that_is_none_is_refused_in_our_words(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(public_key=key)
    [fault] = refused.value.errors(include_input=False)
    assert fault["loc"] == ("internal_public_key",)
    assert SECRET not in fault["msg"]

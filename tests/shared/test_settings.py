"""Settings that contradict each other are refused at the start."""

import pytest
from pydantic import ValidationError

from crm_shared.settings import ServiceSettings
from crm_shared.testing import Signer


def settings(*, topic: int, outbox: int, inbox: int) -> ServiceSettings:
    return ServiceSettings(
        service="tickets",
        database_url="postgresql://nobody@nowhere/nothing",
        kafka_bootstrap_servers="nowhere:1",
        internal_public_key=Signer().public_key,
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

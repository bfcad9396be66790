"""Settings that contradict each other are refused at the start."""

import pytest
from pydantic import ValidationError

from crm_shared.settings import ServiceSettings, from_environment
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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("POOL_TIMEOUT", "nan"),
        ("STATEMENT_TIMEOUT", "-1"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_JSON_DEPTH", "0"),
        ("INTERNAL_PORT", "99999"),
        ("KAFKA_REPLICATION_FACTOR", "0"),
        ("KAFKA_FETCH_MAX_WAIT_MS", "-1"),
        ("KAFKA_BOOTSTRAP_SERVERS", "no port here"),
    ],
)
def test_what_nothing_could_run_with_is_named_at_the_start(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {
        "SERVICE": "tickets",
        "DATABASE_URL": "postgresql://nobody@nowhere/nothing",
        "KAFKA_BOOTSTRAP_SERVERS": "one:9092,[::1]:9092",
        "INTERNAL_PUBLIC_KEY": Signer().public_key,
        "CURSOR_SECRET": "cursors of the tests, thirty-two bytes and more",
    }
    for each, value in right.items():
        monkeypatch.setenv(each, value)
    from_environment(ServiceSettings)
    monkeypatch.setenv(name, said)
    with pytest.raises(SystemExit, match=rf"\A{name}: [^\n]+\Z"):
        from_environment(ServiceSettings)

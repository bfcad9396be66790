"""Settings that are addresses: what nobody could be reached by is refused at the start, the rest kept."""

import json
from collections.abc import Callable

import pytest

from crm_gateway.settings import Settings as GatewaySettings
from crm_loyalty.settings import Settings as LoyaltySettings
from crm_shared.settings import from_environment
from crm_shared.testing import Signer

SECRET = "this-must-never-be-shown"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the environment says; at first everything that loyalty and the gateway need."""

    def tell(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    signer = Signer()
    tell(
        DATABASE_URL="postgresql://nobody@nowhere/nothing",
        KAFKA_BOOTSTRAP_SERVERS="one:9092,[::1]:9092",
        INTERNAL_PUBLIC_KEY=signer.public_key,
        INTERNAL_PRIVATE_KEY=json.dumps(signer.key.as_dict(private=True)),
        CURSOR_SECRET="x" * 32,
        UNSUBSCRIBE_SECRET="x" * 32,
        ISSUER="us",
        AUDIENCE="you",
        JWKS_URL="https://issuer.example/keys?all=yes",
        UPSTREAMS='{"profiles": "http://profiles:8000"}',
    )
    return tell


NO_ADDRESSES = [
    "crm.example",
    "https:crm.example",
    "https:///crm.example",
    f"ftp://me:{SECRET}@crm.example",
    "https://",
    "https://crm example",
    "https://crm.example:0",
    "https://crm.example:65536",
    f"https://me:{SECRET}@crm.example:port",
]


@pytest.mark.parametrize("said", NO_ADDRESSES)
@pytest.mark.parametrize("name", ["PROBLEM_BASE_URL", "OTLP_ENDPOINT", "PUBLIC_URL", "SMS_GATEWAY_URL"])
def test_what_is_no_web_address_is_named_and_not_shown(
    name: str, said: str, told: Callable[..., None]
) -> None:
    told(**{name: said})

    with pytest.raises(SystemExit, match=rf"\A{name}: [^\n]+\Z") as ended:
        from_environment(LoyaltySettings)

    assert SECRET not in str(ended.value)
    assert said not in str(ended.value)


@pytest.mark.parametrize(
    "said", [*NO_ADDRESSES, "https://profiles/v1", "https://profiles?a=b", f"https://me:{SECRET}@profiles"]
)
def test_an_upstream_is_a_server_and_nothing_more(said: str, told: Callable[..., None]) -> None:
    told(UPSTREAMS=json.dumps({"profiles": said}))

    with pytest.raises(SystemExit, match=r"\AUPSTREAMS\.profiles: [^\n]+\Z") as ended:
        from_environment(GatewaySettings)

    assert SECRET not in str(ended.value)


@pytest.mark.parametrize("said", NO_ADDRESSES)
def test_the_issuers_keys_are_at_an_address(said: str, told: Callable[..., None]) -> None:
    told(JWKS_URL=said)

    with pytest.raises(SystemExit, match=r"\AJWKS_URL: [^\n]+\Z"):
        from_environment(GatewaySettings)


@pytest.mark.parametrize("said", ["*", "null", "https://shop.example/page", "shop.example"])
def test_an_origin_that_no_browser_would_name_is_refused(said: str, told: Callable[..., None]) -> None:
    told(CORS_ORIGINS=json.dumps([said]))

    with pytest.raises(SystemExit, match=r"\ACORS_ORIGINS\.0: [^\n]+\Z"):
        from_environment(GatewaySettings)


def test_an_origin_is_compared_as_browsers_write_it(told: Callable[..., None]) -> None:
    told(CORS_ORIGINS='["HTTPS://Shop.example:443/", "capacitor://localhost"]')

    assert from_environment(GatewaySettings).cors_origins == {"https://shop.example", "capacitor://localhost"}


@pytest.mark.parametrize(
    "said",
    [
        f"smtp://me:{SECRET}@mail:0",
        f"smtp://me:{SECRET}@mail:65536",
        f"smtp://me:{SECRET}@mail:99999",
        f"smtp://me:{SECRET}@",
        f"https://me:{SECRET}@mail",
        f"smtp://me:{SECRET}@mail/inbox",
        SECRET,
    ],
)
def test_what_is_no_mail_server_is_named_and_not_shown(said: str, told: Callable[..., None]) -> None:
    told(SMTP_URL=said)

    with pytest.raises(SystemExit, match=r"\ASMTP_URL: [^\n]+\Z") as ended:
        from_environment(LoyaltySettings)

    assert SECRET not in str(ended.value)


@pytest.mark.parametrize("said", ["nobody", "@crm.example", "a@", "a@b, c@d", "Shop a@b", "a@bücher.example"])
def test_what_no_mail_could_come_from_is_refused(said: str, told: Callable[..., None]) -> None:
    told(MAIL_FROM=said)

    with pytest.raises(SystemExit, match=r"\AMAIL_FROM: [^\n]+\Z"):
        from_environment(LoyaltySettings)


@pytest.mark.parametrize("said", ["one", "one:0", "one:65536", "one:9092,two:99999", "one:9092,"])
def test_a_broker_has_a_host_and_a_port(said: str, told: Callable[..., None]) -> None:
    told(KAFKA_BOOTSTRAP_SERVERS=said)

    with pytest.raises(SystemExit, match=r"\AKAFKA_BOOTSTRAP_SERVERS: [^\n]+\Z"):
        from_environment(LoyaltySettings)


def test_text_messages_are_not_dropped_for_want_of_a_secret(told: Callable[..., None]) -> None:
    told(SMS_GATEWAY_URL="https://sms.example/send")

    with pytest.raises(SystemExit, match=r"\ASMS_GATEWAY_SECRET: [^\n]+\Z"):
        from_environment(LoyaltySettings)


def test_addresses_stay_as_they_were_written(told: Callable[..., None]) -> None:
    addresses = {
        "PROBLEM_BASE_URL": "https://docs.crm.example/problems#",
        "OTLP_ENDPOINT": "http://collector:4318",
        "PUBLIC_URL": "https://crm.example",
        "SMS_GATEWAY_URL": "http://127.0.0.1:8080/send?from=us",
        "MAIL_FROM": "Our Shop <shop@crm.example>",
    }
    told(**addresses, SMS_GATEWAY_SECRET="x", SMTP_URL="smtps://me%40shop:p%2Fw@[::1]:465")

    loyalty = from_environment(LoyaltySettings)

    assert {name: getattr(loyalty, name.lower()) for name in addresses} == addresses
    assert loyalty.kafka_bootstrap_servers == "one:9092,[::1]:9092"
    assert loyalty.smtp_url is not None
    assert loyalty.smtp_url.get_secret_value() == "smtps://me%40shop:p%2Fw@[::1]:465"
    assert SECRET not in repr(loyalty)
    assert "p%2Fw" not in repr(loyalty)
    gateway = from_environment(GatewaySettings)
    assert gateway.jwks_url == "https://issuer.example/keys?all=yes"
    assert gateway.upstreams == {"profiles": "http://profiles:8000"}

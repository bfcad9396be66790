"""What a process is told by its environment: read once at start, checked as a whole, never changed."""

import re
from datetime import timedelta
from typing import Annotated, Literal, TypeVar

from pydantic import Field, PostgresDsn, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from crm_shared.callers import Verifier
from crm_shared.urls import Brokers, HttpAddress

Settings = TypeVar("Settings", bound="ServiceSettings")

_SERVERS = r"^[^\s,]+:[0-9]{1,5}(,[^\s,]+:[0-9]{1,5})*$"


class ServiceSettings(BaseSettings):
    """Settings that every service and the gateway have; what must differ per deployment has no default.

    Each field is read from the environment variable of its name in upper case. Durations are in seconds.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    service: str
    """name of the service, as in its topic and its database"""
    environment: str = "local"
    """where this runs; in log lines and spans"""
    release: str = "dev"
    """what runs; in `/version`, log lines and spans"""

    database_url: PostgresDsn
    """the service's own database, as the role that serves (migrations: as its owner)"""
    pool_size: int = Field(default=10, ge=1, le=100)
    """database connections of a process, and of an API as many again that only read"""
    pool_timeout: float = Field(default=2.0, gt=0)
    """how long a request waits for a connection before it is answered 503"""
    statement_timeout: float = Field(default=5.0, gt=0)
    """after which the database gives a statement up"""

    kafka_bootstrap_servers: Annotated[Brokers, Field(pattern=_SERVERS)]
    """host:port of some brokers, with commas between"""
    kafka_idempotence: bool = True
    """idempotent producer; false only for a broker that has none"""
    kafka_fetch_max_wait_ms: int = Field(default=100, ge=0)
    """how long the broker may hold a fetch back to fill it"""
    kafka_replication_factor: int = Field(default=1, ge=1)
    """of topics that are created; 3 in production"""
    topic_retention_days: float = Field(default=7, gt=0, le=365)
    """how long events stay on their topics"""
    topic_segment_seconds: float = Field(default=86400, ge=1, le=86400 * 7)
    """after which a segment of a topic is closed: brokers clean closed ones, within as long again"""
    outbox_retention_days: int = 28
    """how long sent events are kept, to fill an emptied broker again"""
    inbox_retention_days: int = 38
    """how long an event is recognised when it comes again; longer than the two above together"""

    internal_public_key: str
    """Ed25519 key (JWK in JSON, or PEM) by which the gateway's tokens are verified"""
    cursor_secret: SecretStr = Field(min_length=32)
    """signs paging cursors; the same for all replicas"""

    internal_host: str = "127.0.0.1"
    """address of health and metrics"""
    internal_port: int = Field(default=9000, ge=0, le=65535)
    """port of health and metrics: /livez /readyz /metrics /version"""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1)
    """longest request body"""
    max_json_depth: int = Field(default=32, ge=1)
    """deepest nesting of a JSON body"""
    problem_base_url: HttpAddress = "https://crm.example/problems/"
    """prefix of a problem's `type`"""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG, INFO, WARNING or ERROR"""
    otlp_endpoint: HttpAddress | None = None
    """OpenTelemetry collector (OTLP over HTTP); absent: no spans, ids are carried on all the same"""

    @model_validator(mode="after")
    def _redeliveries_are_recognised(self) -> "ServiceSettings":
        """An inbox that forgets before the last possible redelivery would double an effect.

        An event may be sent again on the last day that the outbox has it, and then stays on its topic.
        """
        topic, outbox, inbox = (
            self.topic_retention_days,
            self.outbox_retention_days,
            self.inbox_retention_days,
        )
        longest = outbox + self.topics_clear_after / timedelta(days=1)
        if topic > outbox or longest >= inbox:
            raise ValueError(
                "INBOX_RETENTION_DAYS: retention contradicts itself: TOPIC_RETENTION_DAYS <="
                " OUTBOX_RETENTION_DAYS must hold, and INBOX_RETENTION_DAYS must be above"
                f" {longest:g}, when the last event of the outbox has left its topic;"
                f" not {topic:g}, {outbox}, {inbox}"
            )
        return self

    @property
    def topics_clear_after(self) -> timedelta:
        """How long a broker may go on holding a record that has been superseded or whose time is up."""
        return timedelta(days=self.topic_retention_days) + 2 * self.topic_segment

    @property
    def topic_segment(self) -> timedelta:
        return timedelta(seconds=self.topic_segment_seconds)

    @field_validator("internal_public_key")
    @classmethod
    def _can_be_used(cls, key: str) -> str:
        Verifier(key)
        return key


def from_environment(kind: type[Settings]) -> Settings:
    """What the environment says; where it says too little or something wrong, the process ends with a line
    on stderr for each setting, never with what was given: it may be a secret.
    """
    try:
        return kind()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise SystemExit("\n".join(map(_in_a_line, faults))) from None
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        raise SystemExit(f"{name.group(1).upper() if name else 'a setting'}: is not JSON") from None


def _in_a_line(fault: ErrorDetails) -> str:
    setting, *inside = map(str, fault["loc"] or ("",))
    name = ".".join([setting.upper(), *inside])
    said = fault.get("ctx", {}).get("error", fault["msg"])
    words = "is missing" if fault["type"] == "missing" else " ".join(str(said).split())
    # What several settings say together names them itself.
    return f"{name}: {words}" if name else words

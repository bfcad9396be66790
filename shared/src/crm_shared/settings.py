"""What a process is told by its environment: read once at start, checked as a whole, never changed."""

from pydantic import Field, PostgresDsn, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crm_shared.callers import Verifier


class ServiceSettings(BaseSettings):
    """Settings that every service and the gateway have; what must differ per deployment has no default.

    Each field is read from the environment variable of its name in upper case. Durations are in seconds.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", secrets_dir=None, env_ignore_empty=True)

    service: str
    environment: str = "local"
    release: str = "dev"

    database_url: PostgresDsn
    pool_size: int = Field(default=10, ge=1, le=100)
    pool_timeout: float = 2.0
    statement_timeout: float = 5.0

    kafka_bootstrap_servers: str
    kafka_idempotence: bool = True
    kafka_fetch_max_wait_ms: int = 100
    kafka_replication_factor: int = 1
    topic_retention_days: int = Field(default=7, ge=1)
    outbox_retention_days: int = 28
    inbox_retention_days: int = 35

    internal_public_key: str
    cursor_secret: SecretStr = Field(min_length=32)

    internal_host: str = "127.0.0.1"
    internal_port: int = 9000
    max_body_bytes: int = 1024 * 1024
    max_json_depth: int = 32
    problem_base_url: str = "https://crm.example/problems/"

    log_level: str = "INFO"
    otlp_endpoint: str | None = None

    @model_validator(mode="after")
    def _redeliveries_are_recognised(self) -> "ServiceSettings":
        """An inbox that forgets before the last possible redelivery would double an effect."""
        if not self.topic_retention_days <= self.outbox_retention_days < self.inbox_retention_days:
            raise ValueError(
                "retention contradicts itself: topic_retention_days <= outbox_retention_days"
                f" < inbox_retention_days must hold, not {self.topic_retention_days}, {self.outbox_retention_days},"
                f" {self.inbox_retention_days}"
            )
        return self

    @model_validator(mode="after")
    def _the_public_key_can_be_used(self) -> "ServiceSettings":
        Verifier(self.internal_public_key)
        return self

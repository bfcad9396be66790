"""What the gateway is told by its environment: who signs, who answers, and how much anybody may ask."""

from pydantic import (
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from crm_gateway.jwks import import_key_set
from crm_shared.callers import import_key
from crm_shared.settings import ServiceSettings
from crm_shared.urls import HttpAddress, HttpServer, Origin
from crm_shared.web.limits import DEADLINE


class Settings(ServiceSettings):
    """Durations are in seconds; UPSTREAMS and CORS_ORIGINS are JSON."""

    service: str = "gateway"

    issuer: str
    """`iss` of callers' tokens"""
    audience: str
    """`aud` of callers' tokens"""
    issuer_key: str | None = None
    """the issuer's public keys, a JWK or a JWK set in JSON; give this or JWKS_URL"""
    jwks_url: HttpAddress | None = None
    """where the issuer publishes its keys; fetched every ten minutes, and for an unknown key"""
    internal_private_key: SecretStr
    """Ed25519 key (JWK in JSON, or PEM) that signs the tokens for the services"""

    upstreams: dict[str, HttpServer]
    """base URL per service, such as {"profiles": "http://profiles:8000"}"""
    upstream_connections: int = Field(default=64, ge=1)
    """open at once to each service"""
    upstream_streams: int = Field(default=64, ge=1)
    """open at once to each service beside those, for operations that may take long: uploads, live streams"""
    upstream_keep_alive: float = Field(default=4.0, gt=0)
    """of idle connections; shorter than the services' own (uvicorn: 5), who then rarely close them"""
    upstream_timeout: float = Field(default=9.0, gt=0, lt=DEADLINE)
    """after which a service is given up with a 504; sooner than the request itself, at 10; operations with a
    deadline of their own have that time"""
    summary_timeout: float = Field(default=0.8, gt=0)
    """for each section of a composed answer; all are asked at once, so this bounds the whole"""

    breaker_failures: int = Field(default=5, ge=1)
    """in a row, after which a service is left alone"""
    breaker_cooldown: float = Field(default=2.0, gt=0)
    """how long, before one request tries again"""

    rate_limit_requests: int = Field(default=6000, ge=1)
    """of each caller per window, at each gateway process"""
    rate_limit_window: int = Field(default=60, ge=1)
    """length of that window"""
    caller_concurrency: int = Field(default=32, ge=1)
    """requests of each caller under way at once; fewer than UPSTREAM_CONNECTIONS, which nobody takes alone"""
    public_rate_limit_requests: int = Field(default=120, ge=1)
    """of each client address per window, to what asks for no sign-in, such as a form"""
    public_rate_limit_window: int = Field(default=60, ge=1)
    """length of that window"""
    trusted_proxies: frozenset[IPvAnyNetwork] = frozenset()
    """networks of the proxies whose X-Forwarded-For counts, as a JSON list; none unless there are some"""
    cors_origins: frozenset[Origin] = frozenset()
    """origins whose pages may call, as a JSON list"""

    @field_validator("issuer_key")
    @classmethod
    def _verifies(cls, keys: str | None) -> str | None:
        if keys is not None:
            import_key_set(keys)
        return keys

    @field_validator("jwks_url")
    @classmethod
    def _is_https(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None and not url.startswith("https://") and info.data.get("environment") != "local":
            raise ValueError("must be https")
        return url

    @field_validator("internal_private_key")
    @classmethod
    def _signs(cls, key: SecretStr) -> SecretStr:
        if not import_key(key.get_secret_value()).is_private:
            raise ValueError("must hold the private part: the gateway signs with it")
        return key

    @model_validator(mode="after")
    def _knows_one_issuer(self) -> "Settings":
        if (self.issuer_key is None) == (self.jwks_url is None):
            raise ValueError("ISSUER_KEY, JWKS_URL: exactly one of them is to be given")
        return self

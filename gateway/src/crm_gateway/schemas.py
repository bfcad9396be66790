"""Bodies of the gateway's own operations."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crm_shared.callers import Role, Scope
from crm_shared.fields import Instant, Whole

Owner = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
SystemRole = Literal[Role.AGENT, Role.SUPERVISOR, Role.MANAGER, Role.PARTNER, Role.ADMIN]
"""A system is never a customer."""
MAX_GRACE = 30 * 24 * 3600


class ApiKeyIn(BaseModel):
    """Whose key, what for, and what it may do."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"owner": "acme-shop", "name": "checkout of the web shop", "scopes": ["pii:read"]}]
        },
    )

    owner: Owner = Field(description="The partner; all keys of an owner are one caller")
    name: Name
    roles: frozenset[SystemRole] = Field(
        default=frozenset({Role.PARTNER}), min_length=1, max_length=len(Role)
    )
    scopes: frozenset[Scope] = Field(default=frozenset(), max_length=len(Scope))
    expires_at: Instant | None = None


class RotationIn(BaseModel):
    """How long the old key stays good beside the new one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"grace_seconds": 86400}]})

    grace_seconds: Whole = Field(default=24 * 3600, ge=0, le=MAX_GRACE)


class ApiKeyOut(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    owner: str = Field(max_length=64)
    name: str = Field(max_length=200)
    roles: list[Role]
    scopes: list[Scope]
    created_by: str = Field(max_length=255)
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To half a minute")


class IssuedApiKeyOut(ApiKeyOut):
    """A key with its secret: the only time that it is shown."""

    key: str = Field(max_length=200, description="Send it as `Authorization: Bearer …` or `X-Api-Key: …`")

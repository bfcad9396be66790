"""The router on which a service declares its operations."""

from enum import Enum

from fastapi import APIRouter

from crm_shared.web.idempotency import IdempotentRoute


class Router(APIRouter):
    """Every route is guarded, every POST and PATCH safe to repeat."""

    def __init__(self, *, tags: list[str | Enum] | None = None) -> None:
        super().__init__(route_class=IdempotentRoute, tags=tags, redirect_slashes=False)

"""The gateway's application: its own few routes, and before them the way to all others."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
from fastapi import FastAPI
from starlette.middleware import Middleware

from crm_gateway import openapi
from crm_gateway.addresses import Addresses
from crm_gateway.front import Front
from crm_gateway.jwks import FetchedKeys, GivenKeys, Keys
from crm_gateway.limits import Limits
from crm_gateway.pages import pages
from crm_gateway.replies import Replies
from crm_gateway.routes.api_keys import router
from crm_gateway.routing import Table
from crm_gateway.settings import Settings
from crm_gateway.sign_in import SignIn
from crm_gateway.tokens import Tokens
from crm_gateway.upstreams import Upstreams, create_upstreams
from crm_shared.callers import import_key
from crm_shared.clock import Clock, SystemClock
from crm_shared.settings import from_environment
from crm_shared.web.app import service_app


def create_app(
    settings: Settings | None = None,
    *,
    document: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """The gateway for the services of a merged document, by default the one that the package ships."""
    settings = settings or from_environment(Settings)
    document = document or openapi.load()
    clock = clock or SystemClock()
    upstreams = create_upstreams(settings)
    limits = Limits("default", settings.rate_limit_requests, settings.rate_limit_window)
    public_limits = Limits("public", settings.public_rate_limit_requests, settings.public_rate_limit_window)
    addresses = Addresses(settings.trusted_proxies)
    front = Middleware(
        Front,
        settings=settings,
        table=Table(document),
        upstreams=upstreams,
        limits=limits,
        public_limits=public_limits,
        addresses=addresses,
        pages=pages(document),
        clock=clock,
    )
    app = service_app(settings, router, clock=clock, extra=_open(settings, upstreams), front=[front])
    for service, upstream in upstreams.items():
        app.state.metrics.gauge(
            f"circuit_open_{service}",
            f"1 while {service} keeps failing and is left alone.",
            partial(getattr, upstream.breaker, "is_open"),
        )
    app.add_middleware(
        Replies,
        limits=limits,
        public_limits=public_limits,
        addresses=addresses,
        origins=settings.cors_origins,
    )
    return app


def _open(settings: Settings, upstreams: Upstreams) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        """Sign-in needs the database and a client for the issuer; services are connected to when needed."""
        async with aiohttp.ClientSession() as http:
            keys: Keys
            if settings.issuer_key is not None:
                keys = GivenKeys(settings.issuer_key)
            else:
                keys = FetchedKeys(str(settings.jwks_url), http)
            app.state.sign_in = SignIn(
                Tokens(keys, issuer=settings.issuer, audience=settings.audience),
                app.state.sessions,
                import_key(settings.internal_private_key.get_secret_value()),
            )
            yield
            for upstream in upstreams.values():
                upstream.close()

    return opened

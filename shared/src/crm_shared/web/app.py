"""The application that every service is: its routers, framed by what all have in common."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.datastructures import State
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from crm_shared import logs
from crm_shared.callers import Verifier
from crm_shared.clock import Clock, SystemClock
from crm_shared.database import create_engine, create_sessions
from crm_shared.health import Health, database_answers, migrations_at_head
from crm_shared.memory import collect_seldom
from crm_shared.metrics import Metrics
from crm_shared.pages import Cursors
from crm_shared.settings import ServiceSettings
from crm_shared.tracing import Tracer
from crm_shared.web import openapi, problems
from crm_shared.web.dead_letters import dead_letters_router
from crm_shared.web.dispatch import Dispatcher, Routes, Shortcut
from crm_shared.web.middleware import Authentication, RequestMiddleware
from crm_shared.web.routing import Route
from crm_shared.web.session import provide

Extra = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _State(State):
    """With attributes as any object has them; the framework finds its own only after looking in vain."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class Service(FastAPI):
    """FastAPI with our OpenAPI document, and with our middleware around its own instead of within."""

    def build_middleware_stack(self) -> ASGIApp:
        ours, self.user_middleware = self.user_middleware, []
        app = super().build_middleware_stack()
        for middleware, args, kwargs in reversed(ours):
            app = middleware(app, *args, **kwargs)
        self.user_middleware = ours
        return app

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = openapi.describe(self, self.state.settings.service)
        return self.openapi_schema


def service_app(
    settings: ServiceSettings,
    *routers: APIRouter,
    clock: Clock | None = None,
    extra: Extra | None = None,
    front: Sequence[Middleware] = (),
) -> FastAPI:
    """A service's application; refuses to be made of routes that do not say who may call them.

    `extra` is entered once the database is there and left before it goes: for what a service runs of its own.
    `front` stands before the check of the internal token: for the gateway, which makes those tokens.
    """
    logs.configure(settings)
    metrics = Metrics(settings.service, settings.release)
    tracer = Tracer(settings)
    app = Service(
        title=f"crm {settings.service}",
        version="1",
        lifespan=_lifespan(settings, metrics, tracer, extra),
        middleware=[
            Middleware(RequestMiddleware, settings=settings, metrics=metrics, tracer=tracer),
            *front,
            Middleware(Authentication, verifier=Verifier(settings.internal_public_key)),
        ],
        generate_unique_id_function=_name,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state = _State()
    app.state.settings = settings
    app.state.clock = clock or SystemClock()
    app.state.metrics = metrics
    app.state.tracer = tracer
    app.state.cursors = Cursors(settings.cursor_secret.get_secret_value())
    problems.install(app)
    for router in (*routers, dead_letters_router(settings.service)):
        app.include_router(router)
    routes = list(iter_route_contexts(app.routes))
    _refuse_open_doors(routes)
    by_path = Routes(routes)
    app.router.middleware_stack = Dispatcher(by_path, app.router.middleware_stack)
    app.user_middleware.append(Middleware(Shortcut, routes=by_path))
    return app


def _lifespan(
    settings: ServiceSettings, metrics: Metrics, tracer: Tracer, extra: Extra | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Begin with the database, end with it.

        The internal port opens last, so that nobody calls us ready too early, and closes first, so that who
        probes sees the process go before its connections do. Readiness has a connection of its own: a busy
        pool is not a database that is gone. What was handed in at a desk is done with before the database
        goes. Nothing here waits for Kafka, which an API does not need.
        """
        engine = create_engine(settings)
        reading = create_engine(settings, reading=True)
        probe = create_engine(settings.model_copy(update={"pool_size": 1}))
        metrics.watch_pools(engine, reading)
        health = Health(
            settings,
            metrics,
            ready={
                "database": database_answers(probe),
                "migrations": migrations_at_head(probe, f"crm_{settings.service}"),
            },
        )
        async with AsyncExitStack() as stack:
            stack.callback(tracer.close)
            stack.push_async_callback(engine.dispose)
            stack.push_async_callback(reading.dispose)
            stack.push_async_callback(probe.dispose)
            provide(app, create_sessions(engine), create_sessions(reading))
            stack.push_async_callback(app.state.desks.drain)
            if extra is not None:
                await stack.enter_async_context(extra(app))
            await stack.enter_async_context(health.serving())
            collect_seldom()
            yield

    return lifespan


def _name(route: APIRoute) -> str:
    return route.name


def _refuse_open_doors(routes: list[RouteContext]) -> None:
    """Deny by default: what does not say who may call it does not start."""
    names: set[str] = set()
    for context in routes:
        route = context.original_route
        if not isinstance(route, Route):
            raise TypeError(f"{context.path} is not a crm_shared.web route: declare it on a Router")
        if route.permission is None:
            raise TypeError(f"{route.name} does not say who may call it: add allow(...) or public()")
        if route.name in names:
            raise TypeError(f"{route.name} is the name of two operations")
        names.add(route.name)

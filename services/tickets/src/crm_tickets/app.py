"""The API of tickets."""

from fastapi import FastAPI

from crm_shared.settings import ServiceSettings, from_environment
from crm_shared.web.app import service_app
from crm_tickets.routes import calendars, queue, summary, tickets
from crm_tickets.settings import Settings


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    return service_app(
        settings or from_environment(Settings), tickets.router, queue.router, calendars.router, summary.router
    )

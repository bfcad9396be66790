"""What tests of profiles share: its worker's jobs and due work, done at once."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from tests.conftest import ClientFactory
from tests.profiles.merging import Make

from crm_profiles.handlers import due_of, jobs_of
from crm_shared.database import Sessions
from crm_shared.due import run as run_due
from crm_shared.jobs import run as run_job
from crm_shared.testing import FrozenClock

Work = Callable[[], Awaitable[None]]


@pytest.fixture
def work(stored: dict[str, Sessions], clock: FrozenClock, apps: Callable[[str], FastAPI]) -> Work:
    """Does all jobs that are queued, and all work that is due."""
    settings = apps("profiles").state.settings
    jobs, due_work = jobs_of(settings), due_of(settings)

    async def do() -> None:
        while await run_job(stored["profiles"], jobs, clock):
            pass
        while await run_due(stored["profiles"], due_work, clock):
            pass

    return do


@pytest.fixture
def everybody(client: ClientFactory, apps: Callable[[str], FastAPI]) -> httpx2.AsyncClient:
    """Somebody without a token, before the app and the sessions that `client` has prepared."""
    client("profiles")
    transport = httpx2.ASGITransport(apps("profiles"), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://profiles")


@pytest.fixture
def make(profiles: httpx2.AsyncClient) -> Make:
    """Makes customers: `await make("Ann", birth_date="1988-04-12")`."""

    async def create(name: str, *points: str, **members: Any) -> dict[str, Any]:
        contacts = [{"kind": "email" if "@" in value else "phone", "value": value} for value in points]
        answer = await profiles.post(
            "/v1/customers", json={"name": name, "contact_points": contacts, **members}
        )
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return create

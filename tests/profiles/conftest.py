"""What tests of profiles share: its worker's jobs and due work, done at once."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI

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

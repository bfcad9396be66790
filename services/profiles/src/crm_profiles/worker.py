"""The worker of profiles: `python -m crm_profiles.worker`."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from crm_profiles.handlers import due_of, jobs_of, subscriptions
from crm_profiles.privacy import privacy, privacy_exports
from crm_profiles.settings import Settings
from crm_shared.messaging import worker
from crm_shared.messaging.housekeeping import Figure
from crm_shared.settings import from_environment


def figures(settings: Settings) -> list[Figure]:
    """What this service shows beside what all do: answers of other services that should have come."""
    within = settings.answer_within

    async def erasures(session: AsyncSession, at: datetime) -> float:
        return await privacy.count_overdue(session, within=within, at=at)

    async def exports(session: AsyncSession, at: datetime) -> float:
        return await privacy_exports.count_overdue(session, within=within, at=at)

    return [
        Figure("privacy_erasures_overdue", "Erasures that a service has not confirmed in time.", erasures),
        Figure("privacy_exports_overdue", "Exports that a service has not answered in time.", exports),
    ]


def main() -> None:
    settings = from_environment(Settings)
    worker.run(
        settings,
        subscriptions=subscriptions,
        due=due_of(settings),
        jobs=jobs_of(settings),
        figures=figures(settings),
    )


if __name__ == "__main__":
    main()

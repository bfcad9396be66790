"""The worker of loyalty: `python -m crm_loyalty.worker`."""

from crm_loyalty.handlers import due_work, jobs_of, subscriptions
from crm_loyalty.settings import Settings
from crm_shared.messaging import worker


def main() -> None:
    settings = Settings()
    worker.run(settings, subscriptions=subscriptions, due=due_work, jobs=jobs_of(settings))


if __name__ == "__main__":
    main()

"""The worker of loyalty: `python -m crm_loyalty.worker`."""

from crm_loyalty.carriers import sending
from crm_loyalty.handlers import due_work_of, jobs_of, subscriptions
from crm_loyalty.settings import Settings
from crm_shared.messaging import worker
from crm_shared.settings import from_environment


def main() -> None:
    settings = from_environment(Settings)
    worker.run(
        settings,
        subscriptions=subscriptions,
        due=due_work_of(settings),
        jobs=jobs_of(settings),
        turns={"messages": sending.sender(sending.carriers_of(settings))},
    )


if __name__ == "__main__":
    main()

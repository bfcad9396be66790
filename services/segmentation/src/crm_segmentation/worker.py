"""The worker of segmentation: `python -m crm_segmentation.worker`."""

from crm_segmentation.handlers import due_work, jobs, subscriptions
from crm_segmentation.settings import Settings
from crm_shared.messaging import worker
from crm_shared.settings import from_environment


def main() -> None:
    worker.run(from_environment(Settings), subscriptions=subscriptions, due=due_work, jobs=jobs)


if __name__ == "__main__":
    main()

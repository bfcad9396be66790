"""The worker of tickets: `python -m crm_tickets.worker`."""

from crm_shared.messaging import worker
from crm_shared.settings import from_environment
from crm_tickets.handlers import subscriptions
from crm_tickets.settings import Settings


def main() -> None:
    worker.run(from_environment(Settings), subscriptions=subscriptions)


if __name__ == "__main__":
    main()

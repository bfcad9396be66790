"""The worker of tickets: `python -m crm_tickets.worker`."""

from crm_shared.messaging import worker
from crm_tickets.handlers import subscriptions
from crm_tickets.settings import Settings


def main() -> None:
    worker.run(Settings(), subscriptions=subscriptions)


if __name__ == "__main__":
    main()

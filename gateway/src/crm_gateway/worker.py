"""The worker of the gateway, which keeps its database in order: `python -m crm_gateway.worker`."""

from crm_gateway.settings import Settings
from crm_shared.messaging import worker
from crm_shared.settings import from_environment


def main() -> None:
    worker.run(from_environment(Settings))


if __name__ == "__main__":
    main()

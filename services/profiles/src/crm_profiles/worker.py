"""The worker of profiles: `python -m crm_profiles.worker`."""

from crm_profiles.handlers import subscriptions
from crm_profiles.settings import Settings
from crm_shared.messaging import worker


def main() -> None:
    worker.run(Settings(), subscriptions=subscriptions)


if __name__ == "__main__":
    main()

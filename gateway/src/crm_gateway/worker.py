"""The gateway's worker: the housekeeping of its own database, like a service's."""

from crm_gateway.settings import Settings
from crm_shared.messaging.worker import run

if __name__ == "__main__":
    run(Settings())

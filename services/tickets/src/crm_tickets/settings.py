"""What tickets is told by its environment."""

from crm_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Nothing beyond what every service has: targets are data."""

    service: str = "tickets"

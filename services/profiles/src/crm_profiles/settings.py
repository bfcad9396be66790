"""What the profiles service is told by its environment."""

from crm_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """The common settings are all it needs."""

    service: str = "profiles"

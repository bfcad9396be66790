"""What segmentation is told by its environment."""

from crm_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Nothing beyond what every service has: thresholds, currency, day and time zone are data."""

    service: str = "segmentation"

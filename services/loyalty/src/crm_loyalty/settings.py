"""What the loyalty service is told by its environment."""

import hmac

from crm_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """The common settings are all it needs."""

    service: str = "loyalty"

    @property
    def coupon_key(self) -> bytes:
        """Makes the codes of coupons, the same for all replicas, like cursors.

        Codes that were given out stay good with another one; only they cannot be shown again.
        """
        return hmac.digest(self.cursor_secret.get_secret_value().encode(), b"coupon codes", "sha256")

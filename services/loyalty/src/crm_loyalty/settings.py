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
        return self._derived(b"coupon codes")

    @property
    def referral_key(self) -> bytes:
        """Makes the codes by which customers bring friends."""
        return self._derived(b"referral codes")

    @property
    def invitation_key(self) -> bytes:
        """Makes the codes of invitations."""
        return self._derived(b"invitation codes")

    def _derived(self, purpose: bytes) -> bytes:
        return hmac.digest(self.cursor_secret.get_secret_value().encode(), purpose, "sha256")

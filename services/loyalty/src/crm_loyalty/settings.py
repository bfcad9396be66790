"""What the loyalty service is told by its environment."""

import hmac
import re

from pydantic import Field, SecretStr, field_validator

from crm_shared.settings import ServiceSettings

_SMTP = re.compile(r"smtps?://([^/\s]+@)?([^@:/\s]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?/?")


class Settings(ServiceSettings):
    """Beside the common settings, by which ways it writes to customers."""

    service: str = "loyalty"

    unsubscribe_secret: SecretStr = Field(min_length=32)
    """signs the links by which customers unsubscribe; the same for every service that sends messages"""
    public_url: str = "https://crm.example"
    """where customers reach this API: what links in messages begin with"""
    smtp_url: SecretStr | None = None
    """`smtp://user:password@host:port` sends e-mail (`smtps://`: TLS at once); absent: `/v1/care/mailbox`"""
    mail_from: str = "no-reply@crm.example"
    """address that e-mails come from"""
    sms_gateway_url: str | None = None
    """to which text messages are posted; absent: as with e-mail"""
    sms_gateway_secret: SecretStr | None = None
    """signs what is posted to the gateway of text messages"""

    @field_validator("smtp_url")
    @classmethod
    def _names_a_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _SMTP.fullmatch(url.get_secret_value()):
            raise ValueError("is not like smtp://user:password@host:port, nor smtps://")
        return url

    @property
    def unsubscribe_key(self) -> bytes:
        return self.unsubscribe_secret.get_secret_value().encode()

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

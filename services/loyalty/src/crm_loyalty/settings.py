"""What the loyalty service is told by its environment."""

import hmac
from email.policy import SMTP

from pydantic import Field, Secret, SecretStr, field_validator, model_validator

from crm_shared.settings import ServiceSettings
from crm_shared.urls import HttpAddress, SmtpServer


class Settings(ServiceSettings):
    """Beside the common settings, by which ways it writes to customers."""

    service: str = "loyalty"

    unsubscribe_secret: SecretStr = Field(min_length=32)
    """signs the links by which customers unsubscribe; the same for every service that sends messages"""
    public_url: HttpAddress = "https://crm.example"
    """where customers reach this API: what links in messages begin with"""
    smtp_url: Secret[SmtpServer] | None = None
    """`smtp://user:password@host:port` sends e-mail (`smtps://`: TLS at once); absent: `/v1/care/mailbox`"""
    mail_from: str = "no-reply@crm.example"
    """address that e-mails come from"""
    sms_gateway_url: HttpAddress | None = None
    """to which text messages are posted; absent: as with e-mail"""
    sms_gateway_secret: SecretStr | None = None
    """signs what is posted to the gateway of text messages"""

    @field_validator("mail_from")
    @classmethod
    def _is_a_mailbox(cls, said: str) -> str:
        """With another one each e-mail would fail for good, as if it were the customer's address."""
        try:
            header = SMTP.header_factory("From", said)
        except (ValueError, IndexError):  # which the parser raises of what ends too early
            raise ValueError("is no e-mail address") from None
        if header.defects or len(header.addresses) != 1 or not header.addresses[0].addr_spec.isascii():
            raise ValueError("is not one e-mail address")
        return said

    @model_validator(mode="after")
    def _signs_text_messages(self) -> "Settings":
        """The mailbox would take them all without a word."""
        if self.sms_gateway_url and self.sms_gateway_secret is None:
            raise ValueError("SMS_GATEWAY_SECRET: is missing beside SMS_GATEWAY_URL")
        return self

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

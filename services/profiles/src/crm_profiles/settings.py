"""What the profiles service is told by its environment."""

import hmac
from datetime import timedelta

from pydantic import Field, SecretStr

from crm_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What only this service needs is about privacy and files."""

    service: str = "profiles"

    suppression_secret: SecretStr = Field(min_length=32)
    """keys the list of who must not come back; with another one the list is forgotten"""
    unsubscribe_secret: SecretStr = Field(min_length=32)
    """signs the links by which customers unsubscribe; the same for every service that sends messages"""
    privacy_answer_minutes: int = Field(default=15, ge=1, le=7 * 24 * 60)
    """after which a service that has not confirmed an erasure, or not answered an export, is overdue"""
    privacy_archive_days: int = Field(default=7, ge=1, le=30)
    """how long the archive of a person's data can be fetched"""
    file_retention_days: int = Field(default=7, ge=1, le=90)
    """how long uploaded and exported files are kept, if nobody in them is erased before"""

    submission_retention_days: int = Field(default=90, ge=1, le=3650)
    """how long what somebody submitted by a form is kept when it reaches nobody on file"""

    @property
    def submissions_kept(self) -> timedelta:
        return timedelta(days=self.submission_retention_days)

    @property
    def files_kept(self) -> timedelta:
        return timedelta(days=self.file_retention_days)

    @property
    def suppression_key(self) -> bytes:
        return self.suppression_secret.get_secret_value().encode()

    @property
    def unsubscribe_key(self) -> bytes:
        return self.unsubscribe_secret.get_secret_value().encode()

    @property
    def challenge_key(self) -> bytes:
        """Signs what forms ask for as a proof of work: the same for all replicas, like cursors."""
        return hmac.digest(self.cursor_secret.get_secret_value().encode(), b"form challenges", "sha256")

    @property
    def answer_within(self) -> timedelta:
        return timedelta(minutes=self.privacy_answer_minutes)

    @property
    def archive_lasts(self) -> timedelta:
        return timedelta(days=self.privacy_archive_days)

"""Copies of what profiles says about writing to customers."""

from crm_loyalty.models.base import Base
from crm_shared.permission_copies import ContactPolicyCopy, PermissionCopy, SentMessageCopy


class Permission(PermissionCopy, Base):
    """Whom we may write to, as profiles tells it."""


class SentMessage(SentMessageCopy, Base):
    """What customers got lately, from whichever service."""


class ContactPolicy(ContactPolicyCopy, Base):
    """By which rules the company writes, as profiles tells it."""

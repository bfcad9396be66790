"""The tables of loyalty, a module for each noun."""

from crm_loyalty.models import calendars, contact, earning_rules, ledger, purchases, rewards
from crm_loyalty.models.base import Base

__all__ = ["Base", "calendars", "contact", "earning_rules", "ledger", "purchases", "rewards"]

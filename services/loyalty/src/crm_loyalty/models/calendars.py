"""The table of calendars."""

from crm_loyalty.models.base import Base
from crm_shared.calendar_copies import CalendarCopy


class Calendar(CalendarCopy, Base):
    """A calendar as tickets tells it."""

"""The current state of what tickets tells others of, for topics to be filled from the tables."""

from collections.abc import Mapping

from crm_shared.operate import Republisher
from crm_tickets import calendars

STATES: Mapping[str, Republisher] = {"calendars": calendars.walk}

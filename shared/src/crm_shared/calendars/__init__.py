"""Calendars as pure functions over plain values."""

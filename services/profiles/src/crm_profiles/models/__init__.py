"""The tables of profiles, a module for each noun."""

from crm_profiles.models import (
    customers,
    exports,
    files,
    history,
    imports,
    interactions,
    managers,
    notes,
    privacy,
    purchases,
    search,
    stages,
    tickets,
    timeline,
)
from crm_profiles.models.base import Base

__all__ = [
    "Base",
    "customers",
    "exports",
    "files",
    "history",
    "imports",
    "interactions",
    "managers",
    "notes",
    "privacy",
    "purchases",
    "search",
    "stages",
    "tickets",
    "timeline",
]

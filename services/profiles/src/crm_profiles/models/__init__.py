"""The tables of profiles, a module for each noun."""

from crm_profiles.models import (
    consents,
    customers,
    exports,
    files,
    history,
    imports,
    interactions,
    managers,
    messages,
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
    "consents",
    "customers",
    "exports",
    "files",
    "history",
    "imports",
    "interactions",
    "managers",
    "messages",
    "notes",
    "privacy",
    "purchases",
    "search",
    "stages",
    "tickets",
    "timeline",
]

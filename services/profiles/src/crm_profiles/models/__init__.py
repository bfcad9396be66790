"""The tables of profiles, a module for each noun."""

from crm_profiles.models import (
    attributes,
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
    "attributes",
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

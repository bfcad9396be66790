"""The API of profiles."""

from fastapi import FastAPI

from crm_profiles.routes import (
    attributes,
    belongings,
    card,
    consents,
    contact_policy,
    customer_file,
    customers,
    duplicates,
    exports,
    forms,
    history,
    imports,
    interactions,
    managers,
    merges,
    messages,
    notes,
    preferences,
    privacy,
    privacy_exports,
    purchases,
    quality,
    refunds,
    search,
    stages,
    submissions,
    tags,
    timeline,
    unsubscribing,
)
from crm_profiles.settings import Settings
from crm_shared.settings import ServiceSettings, from_environment
from crm_shared.web.app import service_app


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    return service_app(
        settings or from_environment(Settings),
        # Before customers, where `search` would be taken for an id.
        search.router,
        customers.router,
        attributes.router,
        tags.router,
        belongings.router,
        history.router,
        managers.router,
        purchases.router,
        refunds.router,
        interactions.router,
        timeline.router,
        notes.router,
        preferences.router,
        customer_file.router,
        card.router,
        stages.router,
        consents.router,
        unsubscribing.router,
        contact_policy.router,
        duplicates.router,
        merges.router,
        messages.router,
        privacy.router,
        privacy_exports.router,
        imports.router,
        exports.router,
        forms.router,
        submissions.router,
        quality.router,
    )

"""Loyalty's HTTP API."""

from fastapi import FastAPI

from crm_loyalty.routes import (
    accounts,
    backtests,
    earning_rules,
    holds,
    programme,
    reward_orders,
    rewards,
    summary,
)
from crm_loyalty.settings import Settings
from crm_shared.settings import ServiceSettings
from crm_shared.web.app import service_app


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    return service_app(
        settings or Settings(),
        accounts.router,
        holds.router,
        earning_rules.router,
        backtests.router,
        rewards.router,
        reward_orders.router,
        programme.router,
        summary.router,
    )

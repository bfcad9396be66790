"""Loyalty's HTTP API."""

from fastapi import FastAPI

from crm_loyalty.coupons.guard import Guard
from crm_loyalty.routes import (
    accounts,
    activities,
    adjustments,
    backtests,
    care_messages,
    care_plans,
    care_templates,
    coupon_series,
    coupons,
    earning_events,
    earning_rules,
    holds,
    pending,
    points_policy,
    pools,
    programme,
    promotions,
    quotes,
    recovery,
    referrals,
    reward_orders,
    rewards,
    summary,
    tiers,
    transfers,
)
from crm_loyalty.settings import Settings
from crm_shared.settings import ServiceSettings, from_environment
from crm_shared.web.app import service_app


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    app = service_app(
        settings or from_environment(Settings),
        accounts.router,
        adjustments.router,
        holds.router,
        pending.router,
        earning_events.router,
        earning_rules.router,
        backtests.router,
        rewards.router,
        reward_orders.router,
        coupon_series.router,
        coupons.router,
        promotions.router,
        quotes.router,
        care_templates.router,
        care_plans.router,
        care_messages.router,
        tiers.router,
        transfers.router,
        pools.router,
        referrals.router,
        recovery.router,
        activities.router,
        programme.router,
        points_policy.router,
        summary.router,
    )
    app.state.coupon_guard = Guard()
    return app

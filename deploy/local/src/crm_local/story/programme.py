"""The programme: what another rule would have given over the whole history, and the report."""

from datetime import UTC, datetime

from rich.console import Console

from crm_local.client import Client
from crm_local.story.steps import do, dollars, facts, until
from crm_shared.database import Json

_HISTORY = {"since": "1997-01-01T00:00:00Z", "until": "1998-07-01T00:00:00Z"}
_DOUBLE: Json = {
    "key": "base",
    "description": "2 points per whole dollar of orders of 50 dollars and more",
    "currency": "USD",
    "rate": {"kind": "per_amount", "points": 2, "per_amount": 100},
    "when": {"min_amount": 5000},
    "group": "base",
}


async def tell(client: Client, console: Console) -> None:
    """A backtest that changes nothing, and figures with what they are made of."""
    path = "/v1/earning-rules/backtests"
    started = await do(client, path, {**_HISTORY, "rules": [_DOUBLE]}, "demo-backtest")
    backtest: Json = {}

    async def done() -> bool:
        nonlocal backtest
        backtest = await client.get(f"{path}/{started.json()['id']}")
        return backtest["report"] is not None

    await until(done, "The backtest has not ended.")
    found = backtest["report"]
    today = datetime.now(UTC).date()
    report = await client.get(f"/v1/programme/report?from={today}&to={today}")
    liability = report["liability"]
    facts(
        console,
        ("the rule", _DOUBLE["description"]),
        ("over", f"{found['purchases']['value']:,} orders of {found['customers']['value']:,} customers"),
        ("who gains", f"{found['gaining']['value']:,}, while {found['losing']['value']:,} lose"),
        ("more to owe", f"{found['liability_change']['value']:+,} points"),
        ("owed now", f"{liability['points']:,} points, worth {dollars(liability['value'])}"),
        ("spent today", _share(report["redemption"])),
        ("expired today", _share(report["breakage"])),
    )


def _share(rate: Json) -> str:
    return f"{rate['numerator']:,} of {rate['denominator']:,} points that were given"

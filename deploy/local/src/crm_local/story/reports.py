"""Reports that name what they count: channels, funnel, exits, messages."""

from datetime import UTC, datetime, timedelta

from rich.console import Console

from crm_local.client import Client
from crm_local.story.steps import do, facts, until
from crm_shared.database import Json

_YEARS = "from=1997-01-01&to=1998-07-01"
_FATES = ("delivered", "failed", "answered", "converted")


async def tell(client: Client, console: Console, leaver: str) -> None:
    """A few lines each; somebody says before that they leave."""
    await do(client, f"/v1/customers/{leaver}/exit", {"reason": "moved"}, "demo-exit")

    async def gone() -> bool:
        stages = await client.get(f"/v1/customers/{leaver}/stages")
        return any(spell["reason"] == "moved" for spell in stages["spells"])

    await until(gone, "Who says that they leave is not gone.")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    channels = await client.get(f"/v1/reports/channels?from=2020-01-01&to={tomorrow}")
    funnel = await client.get(f"/v1/reports/funnel?{_YEARS}")
    exits = await client.get(f"/v1/reports/exit-reasons?from=1997-01-01&to={tomorrow}")
    messages = await client.get("/v1/reports/messages?from=1998-06-01T00:00:00Z&to=1998-07-01T00:00:00Z")
    facts(
        console,
        ("known by", ", ".join(_origin(each) for each in channels["channels"] if each["created"])),
        ("funnel", ", ".join(f"{step['reached']:,} {step['stage']}" for step in funnel["steps"])),
        ("exits", ", ".join(f"{each['exits']:,} {each['reason']}" for each in exits["reasons"][:3])),
        *((f"{each['purpose']} by {each['channel']}", _fate(each)) for each in messages["items"][:3]),
    )


def _origin(line: Json) -> str:
    return f"{line['created']:,} {line['channel']} ({line['source'] or 'no source'})"


def _fate(line: Json) -> str:
    fates = (f"{line[what]['numerator']}/{line[what]['denominator']} {what}" for what in _FATES)
    return ", ".join(fates)

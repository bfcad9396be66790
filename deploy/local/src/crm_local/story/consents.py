"""What customers said about being written to, and a decision that explains itself."""

from datetime import UTC, datetime, timedelta

from rich.console import Console

from crm_local.client import Client
from crm_local.club import Club
from crm_local.story.steps import StoryFailed, facts
from crm_shared.database import Json

_NIGHT: Json = {"days": [1, 2, 3, 4, 5, 6, 7], "start": "20:00", "end": "09:00"}


async def tell(client: Client, console: Console, club: Club, ids: dict[str, str], customer: str) -> None:
    """A customer agreed once, is written to, and says no; messages that answer her still go out."""
    path = f"/v1/customers/{customer}"
    consent = f"{path}/consents/marketing/email"
    agreed: Json = {"state": "granted", "source": "club", "at": "1998-06-01T09:00:00Z"}
    await client.write("PUT", consent, agreed | {"evidence": "Ticked on the club's form"})
    for sent in club.messages:
        await client.write("POST", "/v1/messages", sent["message"] | {"customer_id": ids[sent["member"]]})
    denied: Json = {"state": "denied", "source": "phone", "evidence": "Said so on the phone"}
    await client.write("PUT", consent, denied)
    standing = await client.write("PUT", f"{path}/quiet-hours", {"windows": [_NIGHT]})
    said = next(item for item in standing["items"] if item["purpose"] == "marketing")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    at_night = f"at={tomorrow}T15:00:00Z"
    decisions = [
        await client.get(f"{path}/contact-decision?purpose={purpose}&channel={channel}&{at_night}")
        for purpose, channel in (("marketing", "email"), ("greeting", "phone"), ("service", "email"))
    ]
    if [decision["allowed"] for decision in decisions] != [False, False, True]:
        raise StoryFailed(f"The contact decisions are {decisions}.")
    facts(
        console,
        ("said", f"{said['state']}: {said['evidence']}"),
        ("quiet hours", f"{_NIGHT['start']} to {_NIGHT['end']} in {standing['time_zone']}"),
        *((f"{each['purpose']} by {each['channel']}", _verdict(each)) for each in decisions),
    )


def _verdict(decision: Json) -> str:
    """Whether, why not, and from when on."""
    clock = decision["local_time"][11:16]
    if decision["allowed"]:
        return f"at {clock} yes"
    reasons = " and ".join(reason["reason"] for reason in decision["reasons"])
    then = f"; from {decision['next_at'][:16]}Z on" if decision["next_at"] else ""
    return f"at {clock} no: {reasons}{then}"

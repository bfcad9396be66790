"""A birthday campaign: whom it would reach next year and when, and what it has written to them today."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from rich.console import Console

from crm_local.client import Client, Refused
from crm_local.story.steps import facts, settle_on, until
from crm_shared.database import Json

_YEARS = (1964, 1972, 1980, 1988, 1996)
"""All of them leap years: today may be 29 February."""
_SERIES = "birthday-coupon"
_COUPON: Json = {
    "names": {"en": "15 % off", "es": "15 % de descuento", "zh": "八五折"},
    "value": "percent",
    "basis_points": 1500,
    "valid_days": 30,
}
_TEMPLATE = "birthday-letter"
_TEXTS: Json = {
    "default_language": "en",
    "texts": [
        {
            "language": "en",
            "channel": "email",
            "subject": "Happy birthday, {{ name }}!",
            "text": "Here is 15 % off for your special day: {{ coupon }}",
        },
        {
            "language": "es",
            "channel": "email",
            "subject": "¡Feliz cumpleaños, {{ name }}!",
            "text": "Un 15 % de descuento para tu día: {{ coupon }}",
        },
        {
            "language": "zh",
            "channel": "email",
            "subject": "{{ name }}，生日快乐！",
            "text": "送您一张八五折优惠券：{{ coupon }}",
        },
    ],
}
_PLAN = "/v1/care/plans/birthday"
_TERMS: Json = {
    "names": {"en": "Birthday", "es": "Cumpleaños", "zh": "生日"},
    "trigger": {"kind": "birthday"},
    "audience": {"tags": ["cdnow"]},
    "action": {"message": {"template": _TEMPLATE, "channel": "email"}, "coupon": _SERIES},
    "max_per_year": 1,
}


@dataclass(frozen=True)
class _Person:
    """Somebody whose birthday is today, by their own clock, when the story is told first."""

    id: str
    name: str
    language: str
    zone: ZoneInfo
    born: date

    @property
    def comes(self) -> date:
        """Their next birthday after today's."""
        today = datetime.now(self.zone).date()
        year = today.year + ((self.born.month, self.born.day) <= (today.month, today.day))
        try:
            return self.born.replace(year=year)
        except ValueError:
            return date(year, 2, 28)

    @property
    def town(self) -> str:
        return self.zone.key.rpartition("/")[2].replace("_", " ")


async def tell(client: Client, console: Console, customers: list[str]) -> None:
    """The last one has said no to greetings; those for whom it is night are written to in the morning."""
    people = [await _born_today(client, *each) for each in zip(customers, _YEARS, strict=True)]
    denied: Json = {"state": "denied", "source": "shop", "evidence": "Said so at the till"}
    await client.write("PUT", f"/v1/customers/{people[-1].id}/consents/greeting/email", denied)
    await settle_on(client, f"/v1/coupon-series/{_SERIES}", _COUPON)
    await settle_on(client, f"/v1/care/templates/{_TEMPLATE}", _TEXTS)
    planned = await _campaign(client, people)
    console.print("Dry run for their next birthday:")
    facts(console, *((_who(each), _verdict(planned[each.id], each)) for each in people))
    became = await _become(client, people)
    letters = await _letters(client, people, became)
    console.print("This birthday:")
    facts(console, *((_who(each), _fate(became[each.id], letters.get(each.id), each)) for each in people))


async def _born_today(client: Client, customer: str, year: int) -> _Person:
    """The customer, whose birthday nobody knew so far."""
    path = f"/v1/customers/{customer}"
    known = await client.get(path)
    zone = ZoneInfo(known["time_zone"])
    if known["birth_date"] is None:
        born = datetime.now(zone).date().replace(year=year)
        known = await client.write("PATCH", path, {"birth_date": str(born)})
    return _Person(customer, known["name"], known["language"], zone, date.fromisoformat(known["birth_date"]))


async def _campaign(client: Client, people: list[_Person]) -> dict[str, Json]:
    """The plan, which begins once it knows the birthdays, and its verdict on each for the next one."""
    try:
        await client.get(_PLAN)
    except Refused:
        await settle_on(client, _PLAN, _TERMS | {"active": False})
    found: dict[str, Json] = {}

    async def known() -> bool:
        for day in {each.comes for each in people}:
            page = await client.send("POST", f"{_PLAN}/dry-run?on={day}&limit=200")
            found.update((item["customer_id"], item) for item in page.json()["items"])
        return all(each.id in found for each in people)

    await until(known, "The plan does not know whose birthday it is.")
    await settle_on(client, _PLAN, _TERMS | {"active": True})
    await known()
    return found


async def _become(client: Client, people: list[_Person]) -> dict[str, Json]:
    """What became of this birthday of each, or becomes of it later today."""
    found: dict[str, Json] = {}

    async def settled() -> bool:
        items = (await client.get(f"{_PLAN}/occasions?limit=200"))["items"]
        found.update((item["customer_id"], item) for item in reversed(items))
        now = datetime.now(UTC)
        return all(
            each.id in found
            and (found[each.id]["settled_at"] or datetime.fromisoformat(found[each.id]["act_at"]) > now)
            for each in people
        )

    await until(settled, "The plan has reached nobody.")
    return found


async def _letters(client: Client, people: list[_Person], became: dict[str, Json]) -> dict[str, Json]:
    """The letters of those who were written to, as the mailbox has them once they are sent."""
    written = {each.id: became[each.id]["message_id"] for each in people if became[each.id]["message_id"]}

    async def logged() -> bool:
        logs = [await client.get(f"/v1/customers/{customer}/messages") for customer in written]
        return written.keys() <= {
            item["customer_id"] for log in logs for item in log["items"] if item["id"] in written.values()
        }

    await until(logged, "What the plan has written is in nobody's log of messages.")
    mailbox = (await client.get("/v1/care/mailbox?limit=200"))["items"]
    return {each["customer_id"]: each for each in mailbox if each["id"] in written.values()}


def _who(person: _Person) -> str:
    return f"{person.name} ({person.language})"


def _verdict(item: Json, person: _Person) -> str:
    """When it would happen, on the customer's clock and on ours; or why not."""
    if item["at"] is None:
        return f"{item['outcome']}: {item['reason']}"
    at = datetime.fromisoformat(item["at"])
    return f"{_clock(at, person)}, which is {at.astimezone(UTC):%H:%M} UTC"


def _fate(occasion: Json, letter: Json | None, person: _Person) -> str:
    if letter is not None:
        return f"{letter['subject']} {letter['text'].splitlines()[0]}"
    if occasion["settled_at"]:
        return ": ".join(part for part in (occasion["state"], occasion["reason"]) if part)
    return f"is written to on {_clock(datetime.fromisoformat(occasion['act_at']), person)}"


def _clock(at: datetime, person: _Person) -> str:
    return f"{at.astimezone(person.zone):%-d %B %Y at %H:%M} in {person.town}"

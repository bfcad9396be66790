"""Finding customers by pieces of their names, and reading who they were."""

from urllib.parse import quote

from rich.console import Console

from crm_local.client import Client
from crm_local.story.steps import StoryFailed, do, facts
from crm_shared.database import Json

_QUESTIONS = {"明月": "欧阳明月", "Wyszynksa": "Małgorzata Wyszyńska", "5637": "Lǐ Xiùyīng 李秀英"}
_MOVED: Json = {"address": {"city": "深圳"}, "occupation": "钢琴老师"}


async def search(client: Client, console: Console) -> None:
    """A part of a Chinese name, a slip of the pen, the end of a phone number."""
    rows: list[tuple[str, str]] = []
    for question, name in _QUESTIONS.items():
        found = (await client.get(f"/v1/customers/search?q={quote(question)}&limit=25"))["items"]
        hit = next((each for each in found if each["customer"]["name"] == name), None)
        if hit is None:
            raise StoryFailed(f"Who looks for {question} does not find {name}.")
        matched = hit["matched"]
        rows.append((question, f"{name} (matched {matched['member']}: {matched['how']})"))
    facts(console, *rows)


async def history(client: Client, console: Console, customer: str) -> None:
    """A change, and the customer as they were before it."""
    path = f"/v1/customers/{customer}"
    await do(client, path, _MOVED, "demo-moved", method="PATCH")
    versions = (await client.get(f"{path}/history?limit=200"))["items"]
    changed = next(each for each in versions if any(c["member"] == "occupation" for c in each["changes"]))
    earlier = next(each for each in versions if each["version"] == changed["version"] - 1)
    then = await client.get(f"{path}?as_of={quote(earlier['recorded_at'])}")
    if then["version"] != earlier["version"] or then["occupation"] is not None:
        raise StoryFailed(f"As of {earlier['recorded_at']} the customer was {then}.")
    facts(
        console,
        *((f"{c['member']}", f"{_short(c['before'])} → {_short(c['after'])}") for c in changed["changes"]),
        ("by", f"{changed['actor']} by {changed['channel']}, version {changed['version']}"),
        ("as of before", f"version {then['version']}, occupation {_short(then['occupation'])}"),
    )


def _short(value: object) -> str:
    """A value in a few words: what is not there is left out."""
    if isinstance(value, dict):
        return ", ".join(str(part) for part in value.values() if part is not None)
    return "nothing" if value is None else str(value)

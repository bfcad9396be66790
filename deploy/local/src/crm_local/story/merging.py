"""Two records of one person: found, made one, and two again; points and tickets go along both ways."""

from rich.console import Console

from crm_local.client import Client
from crm_local.story.steps import StoryFailed, again, do, facts, until
from crm_shared.database import Json

_REASON = "the same name, birthday and mailbox"


async def tell(client: Client, console: Console, survivor: str, absorbed: str) -> None:
    """Merge and undo; told again, only say what was."""
    pair: Json = {"survivor_id": survivor, "absorbed_id": absorbed}
    enquiry: Json = {"customer_id": absorbed, "kind": "enquiry", "severity": "low", "title": "Open today?"}
    ticket = (await do(client, "/v1/tickets", enquiry, "demo-enquiry")).json()["id"]
    found = await _candidate(client, survivor, absorbed)
    preview = await client.write("POST", "/v1/merges/preview", pair)
    made = await do(client, "/v1/merges", pair | {"reason": _REASON}, "demo-merge")
    merge = await client.get(f"/v1/merges/{made.json()['id']}")
    if merge["undone"] is None:
        await _belongs(client, survivor, absorbed, ticket, to=survivor)
        whole = await client.get(f"/v1/customers/{absorbed}")
        if whole["id"] != survivor:
            raise StoryFailed(f"The absorbed id answers with {whole['id']}.")
        await _undo(client, merge)
    await _belongs(client, survivor, absorbed, ticket, to=absorbed)
    facts(
        console,
        ("candidate", f"{found['first']['name']} / {found['second']['name']}: {found['score']:.1%}"),
        ("because", ", ".join(f"{reason['reason']} {reason['weight']:+}" for reason in found["reasons"])),
        ("preview", f"in conflict: {', '.join(preview['conflicts']) or 'nothing'}"),
        ("merged", f"moved {_counts(merge['moved'])}{again(made)}"),
        ("meanwhile", "the old id answers with the survivor, who has points and ticket"),
        ("undone", "two again: points and ticket are back where they came from"),
    )


async def undo_what_was_interrupted(client: Client) -> None:
    """Who ends the demo between merge and undo leaves one customer, whom the files know as two."""
    for merge in (await client.get("/v1/merges?limit=200"))["items"]:
        if merge["undone"] is None and merge["reason"] == _REASON:
            await _undo(client, merge)


async def _undo(client: Client, merge: Json) -> None:
    await do(client, f"/v1/merges/{merge['id']}/undo", {"reason": "It was to be shown"}, "demo-undo")


async def _candidate(client: Client, one: str, other: str) -> Json:
    """The pair as the platform found it by itself; once it was parted, it is among those dismissed."""
    found: list[Json] = []

    async def listed() -> bool:
        for state in ("open", "dismissed"):
            path = f"/v1/duplicates?customer_id={one}&state={state}&limit=200"
            pairs = (await client.get(path))["items"]
            found.extend(each for each in pairs if {each["first_id"], each["second_id"]} == {one, other})
        return bool(found)

    await until(listed, "Nobody has noticed that two customers may be one.")
    return found[0]


async def _belongs(client: Client, survivor: str, absorbed: str, ticket: str, *, to: str) -> None:
    """Wait until points and ticket are with whom they belong to."""

    async def moved() -> bool:
        holder = (await client.get(f"/v1/tickets/{ticket}"))["customer_id"]
        balances = [(await client.get(f"/v1/accounts/{id}"))["balance"] for id in (survivor, absorbed)]
        return bool(holder == to and (balances[0] > 0) == (to == survivor) and balances[1] > 0)

    await until(moved, f"Points and ticket are not with {to}.")


def _counts(moved: Json) -> str:
    shown = {
        "purchases": "purchase",
        "tickets": "ticket",
        "timeline_entries": "timeline entry",
        "contact_points": "contact point",
    }
    return ", ".join(
        f"1 {one}" if moved[table] == 1 else f"{moved[table]} {table.replace('_', ' ')}"
        for table, one in shown.items()
        if moved.get(table)
    )

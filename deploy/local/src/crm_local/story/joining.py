"""A file of customers is tried and imported, bad rows are told why; imported again it changes nothing."""

from collections.abc import Mapping

from rich.console import Console

from crm_local import club
from crm_local.client import Client
from crm_local.story.steps import StoryFailed, facts, until
from crm_shared.database import Json


async def tell(client: Client, console: Console) -> dict[str, str]:
    """Who the members are: their customers' ids by the number in the file."""
    upload = f"/v1/imports?source={club.SOURCE}&name={club.FILE}&start=true&dry_run=true"
    sent = await client.send("POST", upload, content=club.upload(), headers={"Content-Type": "text/csv"})
    path = f"/v1/imports/{sent.json()['id']}"
    tried = await _reach(client, path, dry_run=True)
    header, layout = tried["layout"]["header"], tried["layout"]
    meanings = {header[column["column"]]: column["to"] for column in tried["mapping"]["columns"]}
    await client.write("POST", f"{path}/start", {"dry_run": False})
    imported = await _reach(client, path, dry_run=False)
    rows = (await client.get(f"{path}/rows?limit=200"))["items"]
    facts(
        console,
        ("read as", f"{layout['encoding']}: {layout['encoding_because']}"),
        ("columns", ", ".join(f"{heading} {meanings.get(heading, 'is ignored')}" for heading in header)),
        ("dry run", _counts(tried)),
        ("import", _counts(imported)),
        *((f"line {row['line']}", _why(row)) for row in rows if row["status"] == "failed"),
    )
    numbers = [row["会员号"] for row in club.read().rows]
    return {numbers[row["line"] - 2]: row["customer_id"] for row in rows if row["status"] != "failed"}


async def _reach(client: Client, path: str, *, dry_run: bool) -> Json:
    """The import once its rows are through."""
    now: dict[str, Json] = {}

    async def through() -> bool:
        now["import"] = await client.get(path)
        state, job = now["import"]["state"], now["import"]["job"]
        if job["state"] == "failed" or state == "mapping_needed":
            raise StoryFailed(f"The import is {state}: {job['problem']}")
        return now["import"]["dry_run"] is dry_run and job["state"] == "succeeded"

    await until(through, f"The import at {path} has not come to its end.")
    return now["import"]


def _counts(done: Json) -> str:
    counts: Mapping[str, int] = done["job"]["counts"]
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"{done['job']['progress']['done']} rows: {said}"


def _why(row: Json) -> str:
    return "; ".join(f"{fault['column']}: {fault['message']} ({fault['code']})" for fault in row["faults"])

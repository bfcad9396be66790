"""Which schema the code expects, and whether the database has it: asked by every process, without Alembic."""

import re
from importlib import resources

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

APPEND_ONLY = "append_only"
"""Key of a table's `info`: the serving role may insert and read, never change or remove."""

# Loading Alembic for the two words would cost a fifth of the start of every process.
_DECLARED = re.compile(r"""^(revision|down_revision)\b[^=]*=\s*["']([^"']+)["']""", re.MULTILINE)


def heads(package: str) -> set[str]:
    """The revisions of the package that no other one follows."""
    declared: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for file in (resources.files(package) / "migrations" / "versions").iterdir():
        if file.name.endswith(".py"):
            for what, revision in _DECLARED.findall(file.read_text(encoding="utf-8")):
                declared[what].add(revision)
    return declared["revision"] - declared["down_revision"]


async def at_head(engine: AsyncEngine, expected: set[str]) -> bool:
    """Whether the database has the schema of `heads(package)`."""
    try:
        async with engine.connect() as connection:
            current = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars()
            return set(current) == expected
    except ProgrammingError:  # nothing was ever migrated here, or its rights are not given yet
        return not expected

"""A database with an owner and a serving role for each service: the same statements wherever they run.

`<name>_owner` migrates and owns `crm_<name>`; `<name>_app` serves: it may connect, and gets its rights on
tables from the migrations. `deploy/postgres/init.sh` does the same for containers.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

SERVICES = ("profiles", "segmentation", "tickets", "loyalty", "gateway")

# Adding these needs more rights than the migrations have.
EXTENSIONS = ("pg_trgm", "btree_gin", "unaccent", "citext")

_ONE_AT_A_TIME = 727_001


@dataclass(frozen=True)
class Databases:
    """The addresses of one service's database: one to migrate with, one to serve with."""

    owner_url: str
    app_url: str


def roles_of(name: str) -> tuple[str, str]:
    return f"{name}_owner", f"{name}_app"


def passwords_for(services: Iterable[str] = SERVICES) -> dict[str, str]:
    """A fresh random password for every role of the services."""
    return {role: secrets.token_urlsafe(24) for name in services for role in roles_of(name)}


def database_rights(name: str) -> list[str]:
    """What each role may do with the database as a whole; for an administrator, anywhere on the server."""
    _, app = roles_of(name)
    return [
        f"REVOKE ALL ON DATABASE crm_{name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE crm_{name} TO {app}",
    ]


def schema_rights(name: str) -> list[str]:
    """What each role may do inside; for an administrator, in the database itself."""
    owner, app = roles_of(name)
    return [
        *(f"CREATE EXTENSION IF NOT EXISTS {extension}" for extension in EXTENSIONS),
        f"ALTER SCHEMA public OWNER TO {owner}",
        f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {app}",
        f"GRANT USAGE ON SCHEMA public TO {app}",
    ]


async def provision(
    admin_url: str, services: Iterable[str] = SERVICES, passwords: Mapping[str, str] | None = None
) -> dict[str, Databases]:
    """Make what is missing, set rights and passwords, say where each database is; safe to repeat."""
    names = tuple(services)
    given = passwords or passwords_for(names)
    admin = await asyncpg.connect(admin_url)
    try:
        # Held until the connection closes: two runners on one server take turns.
        await admin.execute("SELECT pg_advisory_lock($1)", _ONE_AT_A_TIME)
        for name in names:
            await _make_roles(admin, name, given)
            if not await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", f"crm_{name}"):
                await admin.execute(f"CREATE DATABASE crm_{name} OWNER {roles_of(name)[0]}")
            await admin.execute(";".join(database_rights(name)))
        await asyncio.gather(*(_set_schema_rights(admin_url, name) for name in names))
    finally:
        await admin.close()
    return {name: databases_at(admin_url, name, given) for name in names}


def databases_at(server_url: str, name: str, passwords: Mapping[str, str]) -> Databases:
    """The addresses of a service's database on the server of the given address."""
    owner, app = (at(server_url, f"crm_{name}", role, passwords[role]) for role in roles_of(name))
    return Databases(owner_url=owner, app_url=app)


def at(server_url: str, database: str, role: str, password: str) -> str:
    """The same server, and the options of its address, with another database and role."""
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{host}", path=f"/{database}"))


async def _make_roles(admin: asyncpg.Connection, name: str, passwords: Mapping[str, str]) -> None:
    owner, _ = roles_of(name)
    for role in roles_of(name):
        if not await admin.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
            await admin.execute(f"CREATE ROLE {role}")
        # A utility statement takes no parameters; quote_literal makes the password safe in its text.
        literal = await admin.fetchval("SELECT quote_literal($1)", passwords[role])
        await admin.execute(f"ALTER ROLE {role} LOGIN PASSWORD {literal}")
    if not await admin.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        # Who merely may create roles and databases must belong to the owner to give it something.
        await admin.execute(f"GRANT {owner} TO CURRENT_USER")


async def _set_schema_rights(admin_url: str, name: str) -> None:
    parts = urlsplit(admin_url)
    connection = await asyncpg.connect(urlunsplit(parts._replace(path=f"/crm_{name}")))
    try:
        # Without this, CREATE EXTENSION IF NOT EXISTS says NOTICE for each at every start.
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(";".join(schema_rights(name)))
    finally:
        await connection.close()

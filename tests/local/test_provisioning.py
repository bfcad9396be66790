"""A database per service: who may do what is enforced by the server."""

import asyncpg
import pytest

from crm_local.postgres import Postgres
from crm_local.provisioning import EXTENSIONS, SERVICES, Databases, provision


@pytest.fixture(scope="module")
async def databases(server: Postgres) -> dict[str, Databases]:
    await provision(server.url())
    return await provision(server.url())  # a second start finds everything there


async def _ask(url: str, *statements: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        answers = [await connection.fetchval(statement) for statement in statements]
        return answers[-1]
    finally:
        await connection.close()


@pytest.mark.parametrize("name", SERVICES)
async def test_each_service_has_a_database_with_the_extensions(
    databases: dict[str, Databases], name: str
) -> None:
    present = await _ask(databases[name].app_url, "SELECT array_agg(extname::text) FROM pg_extension")

    assert isinstance(present, list)
    assert set(EXTENSIONS) <= set(present)


async def test_the_owner_migrates_and_the_serving_role_may_not(databases: dict[str, Databases]) -> None:
    profiles = databases["profiles"]

    await _ask(profiles.owner_url, "CREATE TABLE migrated ()", "DROP TABLE migrated")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _ask(profiles.app_url, "CREATE TABLE sneaked_in ()")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _ask(profiles.app_url, "CREATE TEMPORARY TABLE sneaked_in ()")


async def test_no_service_gets_into_the_database_of_another(databases: dict[str, Databases]) -> None:
    for url in (databases["profiles"].app_url, databases["profiles"].owner_url):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
            await _ask(url.replace("/crm_profiles", "/crm_loyalty"), "SELECT 1")


async def test_the_passwords_given_are_the_ones_that_hold(server: Postgres) -> None:
    first = await provision(server.url(), ["gateway"])
    second = await provision(
        server.url(), ["gateway"], {"gateway_owner": "it's @ secret/1", "gateway_app": 'and "another"'}
    )

    assert await _ask(second["gateway"].app_url, "SELECT current_user::text") == "gateway_app"
    assert await _ask(second["gateway"].owner_url, "SELECT current_user::text") == "gateway_owner"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _ask(first["gateway"].app_url, "SELECT 1")


async def test_an_administrator_need_not_be_a_superuser(server: Postgres) -> None:
    server.psql("CREATE ROLE operator LOGIN CREATEDB CREATEROLE PASSWORD 'operator'")

    made = await provision(server.url(role="operator", password="operator"), ["reports"])

    assert await _ask(made["reports"].owner_url, "CREATE TABLE migrated ()", "SELECT 1") == 1

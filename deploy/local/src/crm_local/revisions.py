"""Migrations on a throw-away database: do they make what the models say, and if not, what is to be written?

`python -m crm_local.revisions check`, and `python -m crm_local.revisions revision tickets "add priority"`.
"""

import argparse
import asyncio
import sys

from crm_local.postgres import temporary_postgres
from crm_local.provisioning import SERVICES, provision
from crm_shared import migrations


async def check(server_url: str) -> int:
    """Migrate every database from nothing and print how it differs from the models; 1 when one does."""
    differing = 0
    for name, database in (await provision(server_url)).items():
        package = f"crm_{name}"
        await migrations.upgrade(package, database.owner_url, app_role=None)
        differences = await migrations.check(package, database.owner_url)
        print(f"{package}: {'; '.join(differences) or 'the migrations make what the models say'}")
        differing += len(differences)
    return 1 if differing else 0


async def revision(server_url: str, service: str, message: str) -> int:
    """Write the service's next migration: what its models have beyond its migrations."""
    database = (await provision(server_url, [service]))[service]
    await migrations.upgrade(f"crm_{service}", database.owner_url, app_role=None)
    await migrations.revision(f"crm_{service}", database.owner_url, message)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crm_local.revisions", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check")
    write = commands.add_parser("revision")
    write.add_argument("service", choices=SERVICES)
    write.add_argument("message", help="what the migration does, in a few words")
    arguments = parser.parse_args()
    with temporary_postgres(["fsync=off"]) as server:
        if arguments.command == "check":
            return asyncio.run(check(server.url()))
        return asyncio.run(revision(server.url(), arguments.service, arguments.message))


if __name__ == "__main__":
    sys.exit(main())

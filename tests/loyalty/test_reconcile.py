"""What reconciling answers the script that runs it."""

import asyncio
import os
import sys
from collections.abc import Mapping

import pytest

from crm_local.provisioning import Databases


async def reconciled(url: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "crm_loyalty.reconcile",
        env=os.environ | {"DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode, said.decode(), complained.decode()


async def test_books_without_a_difference_are_right(addresses: Mapping[str, Databases]) -> None:
    code, said, complained = await reconciled(addresses["loyalty"].app_url)
    assert (code, complained) == (0, "")
    assert said.endswith("checks, no difference\n")


@pytest.mark.parametrize("url", ["postgresql://nobody:secret@127.0.0.1:1/loyalty", "not an address", ""])
async def test_books_that_cannot_be_read_are_not_said_to_differ(url: str) -> None:
    code, said, complained = await reconciled(url)
    assert (code, said) == (2, "")
    assert complained.count("\n") == 1
    assert "secret" not in complained

"""What the documents promise is what the services do, for whatever fits them and whatever does not."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from shutil import copy

import pytest
import pytest_asyncio
from tests.api.api import Api
from tests.chance import examples

from .conftest import Populate

HERE = Path(__file__).parent
EXAMPLES = str(examples(3))
"""Random requests per operation and phase."""
OF_THE_GATEWAY = "^/v1/(api-keys|admin/gateway|customers/[^/]+/360)"


RUNS: Mapping[str, tuple[str, Sequence[str]]] = {
    "profiles": ("profiles", ()),
    "segmentation": ("segmentation", ()),
    "tickets": ("tickets", ()),
    "loyalty": ("loyalty", ()),
    "gateway": ("gateway", ("--include-path-regex", OF_THE_GATEWAY)),
}
THROUGH = (
    "gateway",
    # One of each: the services are tried by themselves, and here only that the way through changes nothing.
    ("--exclude-path-regex", OF_THE_GATEWAY, "--phases", "examples,fuzzing", "--max-examples", "1"),
)

Result = tuple[int | None, str]


@pytest_asyncio.fixture(scope="session")
async def results(
    system: Mapping[str, Api], populate: Populate, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, asyncio.Task[Result]]]:
    """All documents side by side, as each is mostly waiting: what one changes is nothing to the others."""

    async def run(name: str) -> Result:
        service, options = RUNS[name]
        return await tried(system[service], options, populate, tmp_path_factory.mktemp(name))

    async with asyncio.TaskGroup() as group:
        yield {name: group.create_task(run(name)) for name in RUNS}


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", RUNS)
async def test_a_document_keeps_its_promises(name: str, results: Mapping[str, asyncio.Task[Result]]) -> None:
    status, output = await results[name]
    assert status == 0, output


@pytest.mark.timeout(4 * 3600)
async def test_what_belongs_to_the_services_goes_through_the_gateway_at_random(
    results: Mapping[str, asyncio.Task[Result]],
    system: Mapping[str, Api],
    populate: Populate,
    tmp_path: Path,
) -> None:
    await asyncio.wait(results.values())
    service, options = THROUGH
    status, output = await tried(system[service], options, populate, tmp_path)
    assert status == 0, output


async def tried(api: Api, options: Sequence[str], populate: Populate, folder: Path) -> Result:
    """How schemathesis ends, and what it says."""
    copy(HERE / "schemathesis.toml", folder)
    (folder / "openapi.json").write_text(json.dumps(api.document))
    (folder / "customers.txt").write_text(f'"{(await populate("ann")).id}"')
    [(header, token)] = api.bearer().items()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", api.url),
        *("--header", f"{header}: {token}", "--max-examples", EXAMPLES, "--no-color", *options),
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()

"""What the documents promise is what the services do, for whatever fits them and whatever does not."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copy

import pytest

from .conftest import Api, Populate

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("CRM_TEST_EXAMPLES", "3")
"""Random requests per operation and phase; `CRM_TEST_EXAMPLES=200` searches for long."""
OF_THE_GATEWAY = "^/v1/(api-keys|admin/gateway|customers/[^/]+/360)"


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("profiles", ()),
        ("segmentation", ()),
        ("tickets", ()),
        ("loyalty", ()),
        ("gateway", ("--include-path-regex", OF_THE_GATEWAY)),
        # What belongs to the services was covered there; here it goes through the gateway at random.
        ("gateway", ("--exclude-path-regex", OF_THE_GATEWAY, "--phases", "examples,fuzzing")),
    ],
)
async def test_a_document_keeps_its_promises(
    name: str, options: Sequence[str], system: Mapping[str, Api], populate: Populate, tmp_path: Path
) -> None:
    api = system[name]
    copy(HERE / "schemathesis.toml", tmp_path)
    (tmp_path / "openapi.json").write_text(json.dumps(api.document))
    (tmp_path / "customers.txt").write_text(f'"{(await populate("ann")).id}"')
    [(header, token)] = api.bearer().items()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", api.url),
        *("--header", f"{header}: {token}", "--max-examples", EXAMPLES, "--no-color", *options),
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()

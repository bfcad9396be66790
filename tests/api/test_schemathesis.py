"""What the documents promise is what the services do, for whatever fits them and whatever does not."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from .conftest import Api, Populate

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = os.environ.get("CRM_TEST_EXAMPLES", "5")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["profiles", "segmentation", "tickets", "loyalty", "gateway"])
async def test_the_document_keeps_its_promises(
    name: str, system: Mapping[str, Api], populate: Populate, tmp_path: Path
) -> None:
    api = system[name]
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(api.document))
    [(header, token)] = api.bearer().items()
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": str(CONFIG.with_name("hooks.py")),
        "CRM_TEST_CUSTOMER": str((await populate("ann")).id),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", str(document)),
        *("--url", api.url, "--header", f"{header}: {token}", "--max-examples", EXAMPLES, "--no-color"),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    Path(f"/tmp/st-{name}.txt").write_bytes(output)
    assert process.returncode == 0, output.decode()

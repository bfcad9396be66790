"""What a process expects of the schema is what Alembic would tell it."""

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from crm_local.provisioning import SERVICES
from crm_shared import schema


@pytest.mark.parametrize("name", SERVICES)
def test_the_head_is_the_one_that_alembic_finds(name: str) -> None:
    config = Config()
    config.set_main_option("script_location", "crm_shared:alembic")
    config.set_main_option("version_locations", f"crm_{name}:migrations/versions")
    config.set_main_option("path_separator", "newline")

    assert schema.heads(f"crm_{name}") == set(ScriptDirectory.from_config(config).get_heads()) != set()

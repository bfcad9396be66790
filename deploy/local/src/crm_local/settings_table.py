"""The README's table of settings, made of the settings: `python -m crm_local.settings_table write|check`."""

import sys
from importlib import import_module
from pathlib import Path

from pydantic.fields import FieldInfo

from crm_local.provisioning import SERVICES
from crm_shared.settings import ServiceSettings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """Markdown: the settings that all have, then those of single distributions."""
    rows = ["| variable | default | what |", "|---|---|---|"]
    common = ServiceSettings.model_fields
    rows += [_row(name, field) for name, field in common.items() if name != "service"]
    for service in SERVICES:
        fields: dict[str, FieldInfo] = import_module(f"crm_{service}.settings").Settings.model_fields
        rows += [_row(name, field, service) for name, field in fields.items() if name not in common]
    return "\n".join(rows)


def _row(name: str, field: FieldInfo, service: str | None = None) -> str:
    default = "**required**" if field.is_required() else _default(field)
    meaning = " ".join((field.description or "").split()).rstrip(".")
    owner = f"{service}: " if service else ""
    return f"| `{name.upper()}` | {default} | {owner}{meaning} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return f"`{value}`" if value not in (None, frozenset()) else ""


def inserted(text: str) -> str:
    """The README with the table as it should be."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    readme = Path(sys.argv[2] if len(sys.argv) > 2 else "README.md")
    text = readme.read_text(encoding="utf-8")
    wanted = inserted(text)
    if sys.argv[1:2] == ["write"]:
        readme.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        sys.stderr.write(f"{readme}: the table of settings is out of date: `make settings`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The page of a form: plain HTML that works on a phone and asks no other host for anything."""

import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from crm_profiles.schemas.forms import ShownFormOut


def render(form: ShownFormOut) -> str:
    """The page in the form's language; whatever managers wrote is escaped."""
    template = _templates().get_template("form.html")
    said = words()[form.language]
    return template.render(form=form, words=said, style=_read("form.css"), script=_read("form.js"))


@cache
def content_security_policy() -> str:
    """The page may run its one script, show its one style and ask its own host; nothing else."""
    script, style = (_digest(_read(name)) for name in ("form.js", "form.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """What the page itself says, by language."""
    said: dict[str, dict[str, str]] = json.loads(_read("form.json"))
    return said


@cache
def _templates() -> Environment:
    loader = PackageLoader("crm_profiles")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _read(name: str) -> str:
    return (resources.files("crm_profiles") / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"

"""The merged API description that the gateway routes by: `python -m crm_local.openapi write|check`."""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey

import crm_gateway
from crm_gateway.openapi import merge
from crm_local.provisioning import SERVICES

FILE = Path(crm_gateway.__file__).parent / "openapi.json"


def merged() -> dict[str, Any]:
    """The document made of every service's own, as its code is now."""
    return merge({name: _document(name) for name in SERVICES})


def _document(name: str) -> dict[str, Any]:
    """A service's own document; making one needs settings, but no database, broker or secret that is real."""
    key = OKPKey.generate_key("Ed25519", private=True)
    settings = {
        "database_url": "postgresql://nobody@127.0.0.1/none",
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "internal_public_key": key.as_pem(private=False).decode(),
        "cursor_secret": "only for the making of a document",
        "suppression_secret": "only for the making of a document",
        "unsubscribe_secret": "only for the making of a document",
    }
    if name == "gateway":
        settings |= {
            "issuer": "https://issuer.example",
            "audience": "crm",
            "issuer_key": json.dumps(key.as_dict(private=False)),
            "internal_private_key": json.dumps(key.as_dict(private=True)),
        }
        module = import_module("crm_gateway.settings")
        app = import_module("crm_gateway.app").create_app(
            module.Settings(**settings, upstreams={}), document={"paths": {}}
        )
    else:
        module = import_module(f"crm_{name}.settings")
        app = import_module(f"crm_{name}.app").create_app(module.Settings(**settings))
    document: dict[str, Any] = app.openapi()
    return document


def render(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m crm_local.openapi", description=__doc__)
    parser.add_argument("command", choices=["write", "check"])
    command = parser.parse_args().command
    text = render(merged())
    if command == "write":
        FILE.write_text(text)
    elif not FILE.exists() or FILE.read_text() != text:
        sys.stderr.write(
            "the merged API description is out of date: run `python -m crm_local.openapi write`\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

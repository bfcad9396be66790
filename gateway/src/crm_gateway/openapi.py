"""One API description for callers, merged of the services' own; it is also what the gateway routes by."""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

from crm_gateway import composition
from crm_gateway.routing import METHODS

_FILE = "openapi.json"
_DESCRIPTION = """\
One API for customers' profiles, segments, tickets and loyalty.

Sign in with a bearer token of the deployment's issuer, or with an API key. Errors are problem documents
(RFC 9457). Every reply carries `X-Request-Id`, `RateLimit-Policy` and `RateLimit`; the quota is counted per
caller by each gateway process. A `POST` or `PATCH` with an `Idempotency-Key` may be repeated safely; what
moves value demands one. Money is in the minor units of its currency: 2933 USD are 29.33 dollars. What one
service has just written the others know within seconds.

What asks for no sign-in is counted by the client's address, under the policy `public`. Credentials sent there
all the same are looked at: good ones are served as their owner's, others refused with a 401.
"""


class ContradictingDocuments(Exception):
    """Two services claim the same thing."""


def load() -> dict[str, Any]:
    """The merged document that the package ships."""
    document: dict[str, Any] = json.loads(resources.files("crm_gateway").joinpath(_FILE).read_bytes())
    return document


def merge(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One document of many, each operation marked with its service (`x-service`).

    Raises ContradictingDocuments when two services offer the same operation, use one operation id twice, or
    mean different things by the name of a schema.
    """
    merged: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "CRM", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "/", "description": "The gateway that serves this document"}],
        "paths": {},
        "components": {
            "schemas": {},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
    }
    ids: dict[str, str] = {}
    for service, document in documents.items():
        for path, method, operation in _operations(document):
            _claim(ids, operation["operationId"], service)
            if method in merged["paths"].setdefault(path, {}):
                raise ContradictingDocuments(f"{method.upper()} {path} is offered twice, also by {service}")
            merged["paths"][path][method] = _marked(operation, service)
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            if merged["components"]["schemas"].setdefault(name, schema) != schema:
                raise ContradictingDocuments(f"schema {name} of {service} differs from another service's")
    _compose(merged)
    merged["tags"] = _tags(merged, documents)
    merged["paths"] = dict(sorted(merged["paths"].items()))
    merged["components"]["schemas"] = dict(sorted(merged["components"]["schemas"].items()))
    return merged


def _tags(merged: Mapping[str, Any], services: Iterable[str]) -> list[dict[str, str]]:
    """The headings under which readers find operations: by service, then by name, each saying whose it is."""
    owners: dict[str, set[str]] = {}
    for _, _, operation in _operations(merged):
        for tag in operation.get("tags", []):
            owners.setdefault(tag, set()).add(operation["x-service"])
    order = {service: place for place, service in enumerate(services)}
    ranked = sorted(owners, key=lambda tag: (min(order.get(name, -1) for name in owners[tag]), tag))
    return [
        {"name": tag, "description": " · ".join(sorted(owners[tag], key=lambda name: order.get(name, -1)))}
        for tag in ranked
    ]


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _claim(ids: dict[str, str], operation_id: str, service: str) -> None:
    owner = ids.setdefault(operation_id, service)
    if owner != service:
        raise ContradictingDocuments(f"operation id {operation_id} is used by {owner} and by {service}")


def _marked(operation: Mapping[str, Any], service: str) -> dict[str, Any]:
    """With the callers' ways to sign in for the internal token.

    For everybody is only what says so; what says nothing asks for a sign-in.
    """
    public = operation.get("security") == []
    security: list[dict[str, list[str]]] = [] if public else [{"bearer": []}, {"apiKey": []}]
    return {**operation, "security": security, "x-service": service}


def _compose(merged: dict[str, Any]) -> None:
    """Add the operation that no service offers alone, with what the services say of their parts."""
    parts = {
        service: merged["paths"].get(f"/v1/customers/{{customer_id}}/summary/{service}", {})
        for service in composition.SECTIONS.values()
    }
    schemas = {service: schema for service, part in parts.items() if (schema := _answer_schema(part))}
    roles = parts["profiles"].get("get", {}).get("x-roles", [])
    merged["paths"][composition.PATH] = {"get": composition.described(schemas, roles)}


def _answer_schema(item: Mapping[str, Any]) -> dict[str, Any] | None:
    answer = item.get("get", {}).get("responses", {}).get("200", {})
    schema: dict[str, Any] | None = answer.get("content", {}).get("application/json", {}).get("schema")
    return schema

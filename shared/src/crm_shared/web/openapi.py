"""The OpenAPI document of a service: what every operation has in common is added here, once."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts
from pydantic.json_schema import models_json_schema

from crm_shared import idempotency, problems
from crm_shared.problems import Problem, ProblemOut
from crm_shared.web.idempotency import IdempotentRoute
from crm_shared.web.media import JSON, WrongContentType
from crm_shared.web.middleware import DeadlineExceeded, EncodedBody
from crm_shared.web.problems import Busy, DatabaseUnavailable, MalformedRequest, documented
from crm_shared.web.routing import Route
from crm_shared.web.session import RoleMissing, TokenMissing

_ALWAYS: tuple[type[Problem], ...] = (
    MalformedRequest,
    problems.NotAcceptable,
    problems.InvalidRequest,
    problems.TooManyRequests,
    problems.InternalError,
    DatabaseUnavailable,
    Busy,
    DeadlineExceeded,
)
_WITH_BODY: tuple[type[Problem], ...] = (problems.PayloadTooLarge, WrongContentType, EncodedBody)
_WITH_JSON: tuple[type[Problem], ...] = (problems.MalformedJSON, problems.NestedTooDeeply)
_WITH_TOKEN: tuple[type[Problem], ...] = (TokenMissing, RoleMissing)
_WITH_KEY: tuple[type[Problem], ...] = (
    idempotency.InvalidIdempotencyKey,
    idempotency.IdempotencyKeyInUse,
    idempotency.ReplyErased,
    idempotency.IdempotencyKeyReused,
)

_BYTES = {"type": "string", "format": "binary"}
_STREAMED = {
    "text/event-stream": {
        "type": "object",
        "description": "each event; `data` is JSON",
        "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    }
}
_NOT_FREE = {"pattern", "format", "enum", "const"}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def describe(app: FastAPI, service: str) -> dict[str, Any]:
    """OpenAPI 3.1, with a problem for every refusal, and who serves and who may call each operation."""
    document = get_openapi(title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes)
    components = document.setdefault("components", {})
    components["schemas"] = _schemas(components.get("schemas", {}))
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    for route, path, methods in _operations(app):
        for method in methods:
            operation = document["paths"][path][method.lower()]
            operation["x-service"] = service
            _summarise(operation)
            _guard(operation, route)
            _bound(operation, route)
            _name_media_types(operation, route)
            _add_problems(operation, _problems(route))
    for part in _objects(document):
        _say_what_is_left_unsaid(part)
    return document


def _operations(app: FastAPI) -> Iterator[tuple[Route, str, Iterable[str]]]:
    context: RouteContext
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, Route) and route.include_in_schema and context.path_format:
            yield route, context.path_format, route.methods or ()


def _schemas(schemas: dict[str, Any]) -> dict[str, Any]:
    """All schemas, with Problem in the place of the framework's own error."""
    _, ours = models_json_schema([(ProblemOut, "serialization")], ref_template="#/components/schemas/{model}")
    schemas = {name: schema for name, schema in schemas.items() if not name.endswith("ValidationError")}
    definitions = ours["$defs"]
    return dict(sorted((schemas | {"Problem": definitions.pop("ProblemOut")} | definitions).items()))


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, the outer ones first."""
    if isinstance(part, dict):
        yield part
    if isinstance(part, dict | list):
        for inner in list(part.values()) if isinstance(part, dict) else part:
            yield from _objects(inner)


def _say_what_is_left_unsaid(schema: dict[str, Any]) -> None:
    """What is true of all texts, maps and numbers, which pydantic does not say, or not in these words."""
    if schema.get("type") == "string" and schema.keys().isdisjoint(_NOT_FREE):
        schema["pattern"] = "^[^\\u0000]*$"
    if "patternProperties" in schema:
        schema.setdefault("additionalProperties", False)
    if schema.get("type") in ("integer", "number"):
        for name in _BOUNDS.keys() & schema.keys():  # behind a validator they have Python's names
            schema[_BOUNDS[name]] = schema.pop(name)


def _summarise(operation: dict[str, Any]) -> None:
    """The first line of the docstring is the summary, the rest the description."""
    first, _, rest = operation.pop("description", "").partition("\n")
    if first:
        operation["summary"] = first.removesuffix(".")
    if rest.strip():
        operation["description"] = rest.strip()


def _guard(operation: dict[str, Any], route: Route) -> None:
    permission = route.permission
    if permission is not None and permission.roles is not None:
        operation["security"] = [{"bearer": []}]
        operation["x-roles"] = sorted(permission.roles)
    else:
        operation["security"] = []
    if isinstance(route, IdempotentRoute) and route.takes_key:
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": route.key_required,
                "description": "the same key with the same request has one effect and gets the same answer",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
            }
        )


def _bound(operation: dict[str, Any], route: Route) -> None:
    """How much it takes and how long it may, where that is not the usual: the gateway goes by it."""
    if route.allowance.body is not None:
        operation["x-max-body-bytes"] = route.allowance.body
    if route.allowance.deadline is not None:
        operation["x-deadline"] = route.allowance.deadline


def _name_media_types(operation: dict[str, Any], route: Route) -> None:
    """What is streamed in or out, of which the framework knows nothing."""
    if route.takes is not None:
        content = {one: {"schema": _BYTES} for one in route.takes.types}
        operation["requestBody"] = {"required": True, "content": content}
    for status, response in operation["responses"].items():
        if status.startswith("2") and route.gives.types != (JSON,):
            known = response.get("content", {})
            response["content"] = {
                one: known.get(one, {"schema": _STREAMED.get(one, _BYTES)}) for one in route.gives.types
            }


def _problems(route: Route) -> list[type[Problem]]:
    found = list(_ALWAYS)
    if route.permission is not None and route.permission.roles is not None:
        found += _WITH_TOKEN
    if route.body_field is not None or route.reads_stream:
        found += _WITH_BODY
    if route.body_field is not None:
        found += _WITH_JSON
    if isinstance(route, IdempotentRoute) and route.takes_key:
        found += _WITH_KEY
        if route.key_required:
            found.append(idempotency.IdempotencyKeyMissing)
    return found


def _add_problems(operation: dict[str, Any], found: list[type[Problem]]) -> None:
    """What the route documents itself comes first; what all have in common follows under the same status."""
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for status, response in documented(*found).items():
        own = responses.get(str(status))
        if own is not None:
            response = {**response, "description": f"{own['description']}\n{response['description']}"}
        responses[str(status)] = response
    operation["responses"] = dict(sorted(responses.items()))

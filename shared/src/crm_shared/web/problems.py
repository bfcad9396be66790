"""Every error, wherever it comes from, as one problem document (RFC 9457)."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.types import Scope

from crm_shared import problems
from crm_shared.database import crowded, too_slow, unavailable
from crm_shared.problems import Fault, InvalidRequest, MalformedJSON, Problem
from crm_shared.web.context import Context
from crm_shared.web.dispatch import has_parameters

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 100
_MAX_INSTANCE = 2000


class RouteNotFound(problems.NotFound): ...


class MalformedRequest(problems.BadRequest): ...


class DatabaseUnavailable(problems.Unavailable):
    """The database does not answer or refuses work: try again shortly."""


class Busy(problems.Unavailable):
    """Others are changing the same things, and the wait for them was too long: try again shortly."""


_BY_STATUS: dict[int, type[Problem]] = {
    400: MalformedRequest,
    404: RouteNotFound,
    405: problems.MethodNotAllowed,
    406: problems.NotAcceptable,
    413: problems.PayloadTooLarge,
    415: problems.UnsupportedMediaType,
    503: problems.Unavailable,
}


def install(app: FastAPI) -> None:
    """Let the application answer with problems; what escapes it is the middleware's to answer."""

    async def handle(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if isinstance(problem, problems.MethodNotAllowed):
            problem.headers["Allow"] = ", ".join(sorted(_offered(app, request.scope["path"])))
        return respond(problem, request.scope)

    async def leave(request: Request, error: Exception) -> Response:
        raise error

    for kind in (Problem, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, leave)


def problem_of(error: BaseException) -> Problem:
    """What the caller hears of an error; of one that nobody foresaw, nothing but that it happened."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        if isinstance(error.__cause__, Problem):
            return error.__cause__
        kind = _BY_STATUS.get(error.status_code, problems.InternalError)
        return kind(headers=error.headers)
    if crowded(error):
        return Busy(headers={"Retry-After": "1"})
    if unavailable(error) or too_slow(error):
        return DatabaseUnavailable("Try again in a moment.", headers={"Retry-After": "1"})
    return problems.InternalError("Something went wrong here; the request_id finds it in the logs.")


def respond(problem: Problem, scope: Scope) -> Response:
    """The problem as a response to the request of this scope."""
    context = Context.of(scope)
    instance = quote(scope["path"], errors="replace")[:_MAX_INSTANCE]
    body = problem.body(
        context.problem_base_url,
        instance=instance,
        request_id=context.request_id,
        personal=context.sees_personal_data,
    )
    return Response(orjson.dumps(body), problem.status, problem.headers, MEDIA_TYPE)


def documented(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """For `responses=`: what may go wrong, by status, with the code and the meaning of each."""
    by_status: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {status: _described(kinds) for status, kinds in by_status.items()}


def _described(kinds: Iterable[type[Problem]]) -> dict[str, Any]:
    return {
        "description": "\n".join(f"- `{kind.code()}`: {kind.meaning()}" for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _invalid(error: RequestValidationError) -> Problem:
    found = error.errors()
    if found and found[0]["type"] == "json_invalid":
        position = found[0]["loc"][-1]
        reason = found[0].get("ctx", {}).get("error", "not JSON")
        return MalformedJSON(f"{reason} (at character {position}).", position=position)
    return InvalidRequest(
        "The request does not fit the schema; errors says where.",
        errors=[_fault(fault, error.body) for fault in found[:_MAX_ERRORS]],
    )


def _fault(fault: Mapping[str, Any], body: Any) -> Fault:
    source, *path = fault["loc"]
    if source == "body":
        steps = _steps(body, path, fault)
        pointer = "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
    else:
        pointer = str(path[0]) if path else str(source)
    return {"pointer": pointer[:500], "code": fault["type"], "message": fault["msg"][:500]}


def _steps(body: Any, path: Iterable[int | str], fault: Mapping[str, Any]) -> Iterator[int | str]:
    """The way to the fault through what was sent; the path also names which kind of a union was meant."""
    absent: list[int | str] = []
    for step in path:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            of_mapping = isinstance(body, Mapping)
            absent = [step] if of_mapping and step not in body.values() else []
        else:
            yield step
    yield from absent
    if fault["type"] in ("union_tag_invalid", "union_tag_not_found"):
        yield fault["ctx"]["discriminator"].strip("'")


def _offered(app: FastAPI, path: str) -> set[str]:
    """All methods of all routes that have this path: the framework would name those of the first."""
    routes = [route for route in iter_route_contexts(app.routes) if route.path_regex.match(path)]
    fixed = [route for route in routes if not has_parameters(route)]
    return {method for route in fixed or routes for method in route.methods or ()}

"""Calling an endpoint by a plan that is made once, where the framework would look anew at each request."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction, signature
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response, params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from pydantic_core import PydanticUndefined
from starlette.datastructures import QueryParams

_REQUEST = 0
"""The place of the request among the results."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A dependency, or the endpoint itself: what is called, and with which earlier results."""

    call: Callable[..., Awaitable[Any]]
    results: Sequence[tuple[str, int]]


class Direct:
    """Calls an endpoint as the framework does, in the same order and with the same errors, for less.

    Only the plain case: the endpoint makes its own response (`-> Response`); it takes parameters of path,
    query and headers, and at most one body, of JSON; what it depends on are coroutine functions of the
    request and of each other, without parameters of their own. Values are read and checked by the
    framework's own functions.
    """

    def __init__(self, dependant: Dependant) -> None:
        self._dependant = dependant
        self._steps: list[_Step] = []
        self._places: dict[Any, int] = {}
        self._plan(dependant)
        *self._before, self._endpoint = self._steps
        self._takes_body = bool(dependant.body_params)
        self._path = [(field, field.alias, ("path", field.alias)) for field in dependant.path_params]
        unasked, _ = request_params_to_args(dependant.query_params, QueryParams())
        # As long as all are None: another default would have to be made anew for each request.
        told_nothing = len(unasked) == len(dependant.query_params) and all(
            each is None for each in unasked.values()
        )
        self._unasked = unasked if told_nothing else None

    async def __call__(self, request: Request) -> Response:
        """Raises RequestValidationError, and what the endpoint and its dependencies raise."""
        body = await _sent(request) if self._takes_body else None
        results: list[Any] = [request]
        for step in self._before:
            results.append(await step.call(**{name: results[place] for name, place in step.results}))
        values = await self._values(request, body)
        for name, place in self._endpoint.results:
            values[name] = results[place]
        response: Response = await self._endpoint.call(**values)
        return response

    async def _values(self, request: Request, body: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        errors: list[Any] = []
        for field, name, place in self._path:
            values[field.name], wrong = field.validate(request.path_params[name], values, loc=place)
            errors += wrong
        if self._unasked is not None and not request.scope["query_string"]:
            values |= self._unasked
        else:
            asked, wrong = request_params_to_args(self._dependant.query_params, request.query_params)
            values |= asked
            errors += wrong
        if self._dependant.header_params:
            told, wrong = request_params_to_args(self._dependant.header_params, request.headers)
            values |= told
            errors += wrong
        if self._takes_body:
            [field] = self._dependant.body_params
            if body is PydanticUndefined:
                told, wrong = await request_body_to_args([field], body, False)
                values |= told
            else:  # what the framework comes to, after asking anew which kind of body it is
                values[field.name], wrong = field.validate(body, values, loc=("body",))
            errors += wrong
        if errors:
            raise RequestValidationError(errors, body=body)
        return values

    def _plan(self, dependant: Dependant) -> int:
        """The place of its result."""
        results = []
        if dependant.request_param_name is not None:
            results.append((dependant.request_param_name, _REQUEST))
        for each in dependant.dependencies:
            place = self._places[each.call] if each.call in self._places else self._plan(each)
            if each.name is not None:
                results.append((each.name, place))
        assert dependant.call is not None
        self._steps.append(_Step(dependant.call, results))
        self._places[dependant.call] = _REQUEST + len(self._steps)
        return self._places[dependant.call]


def plan(dependant: Dependant) -> Direct | None:
    """The plan of an endpoint; None where only the framework can call it."""
    assert dependant.call is not None
    if signature(dependant.call).return_annotation is not Response:
        return None
    return Direct(dependant) if _is_plain(dependant, top=True) else None


async def _sent(request: Request) -> Any:
    """The JSON of the body, or that there is none, as the framework has it."""
    if not await request.body():
        return PydanticUndefined
    try:
        return await request.json()
    except JSONDecodeError as error:
        place = ("body", error.pos)
        fault = {"type": "json_invalid", "loc": place, "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([{**fault, "ctx": {"error": error.msg}}], body=error.doc) from error


def _takes_json(dependant: Dependant) -> bool:
    """A body, if any, that is all of one parameter."""
    kinds = [field.field_info for field in dependant.body_params]
    return len(kinds) <= 1 and all(
        type(kind) is params.Body and not kind.embed and kind.media_type.endswith("json") for kind in kinds
    )


def _is_plain(dependant: Dependant, *, top: bool = False) -> bool:
    of_parameters = (dependant.path_params, dependant.query_params, dependant.header_params)
    beyond_us = (
        *(dependant.cookie_params, dependant.websocket_param_name),
        *(not _takes_json(dependant), not top and dependant.body_params),
        *(dependant.http_connection_param_name, dependant.response_param_name),
        *(dependant.background_tasks_param_name, dependant.security_scopes_param_name),
        *(dependant.concurrency, not dependant.use_cache, not top and any(of_parameters)),
    )
    call = dependant.call
    is_coroutine = iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
    return is_coroutine and not any(beyond_us) and all(map(_is_plain, dependant.dependencies))

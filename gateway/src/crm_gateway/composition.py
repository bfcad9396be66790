"""A customer at a glance: one summary per service, all at once, spliced as bytes and never parsed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from starlette.types import Scope

from crm_gateway.errors import (
    AmbiguousRequest,
    ConcurrencyExceeded,
    CredentialsMissing,
    EverythingUnavailable,
    InvalidCredentials,
    QuotaExceeded,
    UpstreamUnavailable,
)
from crm_gateway.proxy import own_headers, request_line
from crm_gateway.upstreams import Answer, Upstream, Upstreams
from crm_shared.callers import CredentialsAmbiguous
from crm_shared.customers import CustomerNotFound
from crm_shared.problems import Fault, InternalError, InvalidRequest, Problem
from crm_shared.web.context import Context
from crm_shared.web.middleware import DeadlineExceeded
from crm_shared.web.problems import documented
from crm_shared.web.session import RoleMissing

SECTIONS = {"profile": "profiles", "segments": "segmentation", "tickets": "tickets", "loyalty": "loyalty"}
PATH = "/v1/customers/{customer_id}/360"

_IDENTITY = "profile"
"""Whose word it is whether there is such a customer."""
_PROBLEMS: Sequence[type[Problem]] = (
    AmbiguousRequest,
    CredentialsAmbiguous,
    CredentialsMissing,
    InvalidCredentials,
    RoleMissing,
    CustomerNotFound,
    InvalidRequest,
    QuotaExceeded,
    ConcurrencyExceeded,
    InternalError,
    EverythingUnavailable,
    DeadlineExceeded,
)
_ID = {"type": "string", "format": "uuid"}
_OBJECT = {"type": "object"}


def customer_id(scope: Scope) -> UUID:
    """The id in the path, which matches PATH; raises InvalidRequest, for parameters too: there are none."""
    if scope["query_string"]:
        unknown: Fault = {"pointer": "", "code": "unknown", "message": "There are no parameters here."}
        raise InvalidRequest("The request has parameters that do not fit.", errors=[unknown])
    text = scope["path"].split("/")[3]
    try:
        return UUID(text)
    except ValueError as error:
        fault: Fault = {"pointer": "customer_id", "code": "uuid_parsing", "message": "This is not a UUID."}
        raise InvalidRequest("The path's customer id is not a UUID.", errors=[fault]) from error


async def compose_360(
    upstreams: Upstreams, scope: Scope, authorization: bytes, customer: UUID, *, timeout: float
) -> Answer:
    """Every section's data, or why it has none; each service has the same deadline.

    What profiles refuses (no such customer, not for this caller) is refused as a whole. Raises
    EverythingUnavailable when nobody answers.
    """
    until = asyncio.get_running_loop().time() + timeout
    headers = own_headers(scope, authorization) + b"accept: application/json\r\n\r\n"
    answers = await asyncio.gather(
        *(
            _summary(upstreams.get(service), service, headers, customer, until)
            for service in SECTIONS.values()
        )
    )
    by_section = dict(zip(SECTIONS, answers, strict=True))
    identity = by_section[_IDENTITY]
    if isinstance(identity, Answer) and identity.status in (403, 404):
        return identity
    if all(isinstance(answer, Problem) for answer in answers):
        raise EverythingUnavailable(headers={"retry-after": "1"})
    sections = b",".join(
        b'"%b":%b' % (section.encode(), _section(answer, scope)) for section, answer in by_section.items()
    )
    return Answer(200, b'{"customer_id":"%b","sections":{%b}}' % (str(customer).encode(), sections))


async def _summary(
    upstream: Upstream | None, service: str, headers: bytes, customer: UUID, until: float
) -> Answer | Problem:
    if upstream is None:
        return UpstreamUnavailable(f"The service {service} is not part of this deployment.", service=service)
    target = f"/v1/customers/{customer}/summary/{service}".encode()
    try:
        answer = await upstream.get(request_line("GET", target, upstream) + headers, until=until)
    except Problem as problem:
        return problem
    # Spliced unread, it must at least be an object: one broken section would break the whole.
    if answer.status >= 500 or not answer.body.startswith(b"{"):
        return UpstreamUnavailable(f"The service {service} failed.", service=service)
    return answer


def _section(answer: Answer | Problem, scope: Scope) -> bytes:
    if isinstance(answer, Problem):
        context = Context.of(scope)
        body = answer.body(context.problem_base_url, instance=scope["path"], request_id=context.request_id)
        return b'{"status":"unavailable","problem":%b}' % orjson.dumps(body)
    if answer.status == 200:
        return b'{"status":"ok","data":%b}' % answer.body
    return b'{"status":"unavailable","problem":%b}' % answer.body


def described(schemas: Mapping[str, Any], roles: Sequence[str]) -> dict[str, Any]:
    """The operation as OpenAPI has it, given those schemas of the services' summaries that are known.

    The roles are those that profiles names for its part.
    """
    content = {"application/json": {"schema": _answer(schemas)}}
    return {
        "operationId": "get_customer_360",
        "tags": ["customers"],
        "summary": "A customer at a glance",
        "description": "Each section is `ok` with its data, or `unavailable` with its problem.",
        "parameters": [{"name": "customer_id", "in": "path", "required": True, "schema": _ID}],
        "responses": {
            "200": {"description": "The customer", "content": content},
            **{str(status): response for status, response in documented(*_PROBLEMS).items()},
        },
        "security": [{"bearer": []}, {"apiKey": []}],
        "x-roles": list(roles),
        "x-service": "gateway",
    }


def _answer(schemas: Mapping[str, Any]) -> dict[str, Any]:
    sections = {section: _section_of(schemas.get(service, _OBJECT)) for section, service in SECTIONS.items()}
    return {
        "type": "object",
        "required": ["customer_id", "sections"],
        "properties": {
            "customer_id": _ID,
            "sections": {"type": "object", "required": list(SECTIONS), "properties": sections},
        },
    }


def _section_of(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string", "enum": ["ok", "unavailable"]},
            "data": data,
            "problem": {"$ref": "#/components/schemas/Problem"},
        },
    }

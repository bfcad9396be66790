"""How the routes of profiles answer: documents, verdicts on batches, masks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, JsonValue, ValidationError

from crm_profiles.customers.documents import Document
from crm_profiles.errors import PersonalDataHidden
from crm_shared.callers import Caller
from crm_shared.etags import etag
from crm_shared.problems import Problem
from crm_shared.web.context import Context
from crm_shared.web.problems import problem_of

Item = TypeVar("Item", bound=BaseModel)


def check_sees_personal_data(caller: Caller) -> None:
    """Raises PersonalDataHidden."""
    if not caller.sees_personal_data:
        raise PersonalDataHidden("This takes the scope pii:read.")


def document(found: Document, caller: Caller, *, status: int = 200) -> Response:
    """The document, masked for who may not see it whole; Content-Location names whom it is about."""
    body = found.body if caller.sees_personal_data else found.masked()
    headers = {"ETag": etag(found.version), "Content-Location": found.location}
    if status == 201:
        headers["Location"] = found.location
    return Response(body, status, headers, "application/json")


def validated(
    model: type[Item], raw: Sequence[Mapping[str, Any]]
) -> tuple[dict[int, Item], dict[int, Problem]]:
    """The items that fit the model, and what is wrong with the others, by their index."""
    good: dict[int, Item] = {}
    bad: dict[int, Problem] = {}
    for index, item in enumerate(raw):
        try:
            good[index] = model.model_validate(item)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            bad[index] = problem_of(
                RequestValidationError(
                    [{**fault, "loc": ("body", *fault["loc"])} for fault in faults], body=item
                )
            )
    return good, bad


def failed(request: Request, index: int, problem: Problem) -> dict[str, JsonValue]:
    """The verdict on an item that was refused; pointers lead into the batch."""
    context = Context.of(request.scope)
    for fault in problem.errors:
        fault["pointer"] = f"/items/{index}{fault['pointer']}"
    body = problem.body(
        context.problem_base_url,
        instance=request.url.path,
        request_id=context.request_id,
        personal=context.sees_personal_data,
    )
    return {"index": index, "status": "failed", "problem": body}


def counted(statuses: Iterable[str]) -> dict[str, int]:
    return dict(Counter(statuses))

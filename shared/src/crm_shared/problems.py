"""Problems: errors as types, each with its status, a stable code and a title made of its name (RFC 9457)."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, TypedDict

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")


class Fault(TypedDict):
    """One thing wrong with a request: where (JSON pointer into the body, or parameter), what, in words."""

    pointer: str
    code: str
    message: str


class Problem(Exception):
    """Something the caller must hear of; subclasses are named for what is wrong.

    `detail` speaks of this occurrence; without it callers read what the docstring says of all of them.
    Keyword arguments become members of the body, instants as they are written everywhere.
    """

    status: ClassVar[int] = 500
    personal: ClassVar[frozenset[str]] = frozenset()
    """The extensions that are only for who may see personal data: they say whom something belongs to."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **extensions: JsonValue | datetime,
    ) -> None:
        super().__init__(detail or self.title())
        self.detail = detail or self.meaning()
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extensions: dict[str, JsonValue] = {
            name: _instant(value) if isinstance(value, datetime) else value
            for name, value in extensions.items()
        }

    @classmethod
    def words(cls) -> list[str]:
        return [
            word if word.isupper() and len(word) > 1 else word.lower()
            for word in _WORDS.findall(cls.__name__)
        ]

    @classmethod
    def slug(cls) -> str:
        return "-".join(cls.words()).lower()

    @classmethod
    def code(cls) -> str:
        return "_".join(cls.words()).lower()

    @classmethod
    def title(cls) -> str:
        text = " ".join(cls.words())
        return text[:1].upper() + text[1:]

    @classmethod
    def meaning(cls) -> str:
        """What it says when nothing is known of the occurrence: the class's own docstring, or its title."""
        return " ".join((cls.__dict__.get("__doc__") or f"{cls.title()}.").split())

    def body(
        self, base_url: str, *, instance: str, request_id: str, personal: bool = False
    ) -> dict[str, JsonValue]:
        """The members of the answer; `errors` is there only when the request itself was at fault.

        `personal`: whoever gets it may see personal data.
        """
        body: dict[str, JsonValue] = {
            "type": base_url + self.slug(),
            "title": self.title(),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code(),
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = [
                {"pointer": e["pointer"], "code": e["code"], "message": e["message"]} for e in self.errors
            ]
        hidden = frozenset() if personal else self.personal
        return body | {name: value for name, value in self.extensions.items() if name not in hidden}


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


class BadRequest(Problem):
    status = 400


class Unauthorized(Problem):
    status = 401


class Forbidden(Problem):
    status = 403


class NotFound(Problem):
    status = 404


class MethodNotAllowed(Problem):
    status = 405


class NotAcceptable(Problem):
    status = 406


class Conflict(Problem):
    status = 409


class Gone(Problem):
    status = 410


class PreconditionFailed(Problem):
    status = 412


class PayloadTooLarge(Problem):
    status = 413


class UnsupportedMediaType(Problem):
    status = 415


class Unprocessable(Problem):
    status = 422


class PreconditionRequired(Problem):
    status = 428


class TooManyRequests(Problem):
    status = 429


class InternalError(Problem):
    status = 500


class Unavailable(Problem):
    status = 503


class GatewayTimeout(Problem):
    status = 504


class InvalidRequest(Unprocessable):
    """The body or a parameter does not fit the schema; `errors` says where."""


class MalformedJSON(BadRequest): ...


class NestedTooDeeply(BadRequest): ...


class FaultOut(BaseModel):
    """One thing wrong with the request."""

    pointer: str = Field(
        description="RFC 6901 pointer into the body, or the parameter's name", max_length=500
    )
    code: str = Field(max_length=100)
    message: str = Field(max_length=2000)


class ProblemOut(BaseModel):
    """How every error looks (RFC 9457); a problem may add members of its own."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(max_length=500)
    title: str = Field(max_length=200)
    status: int
    detail: str = Field(max_length=4000)
    instance: str = Field(max_length=4000)
    code: str = Field(max_length=200)
    request_id: str = Field(max_length=128)
    errors: list[FaultOut] | None = None

"""What is known of the request being answered, kept in its ASGI scope."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import Scope

from crm_shared.callers import Caller
from crm_shared.idempotency import Claim
from crm_shared.web.limits import Limits

_KEY = "crm"


@dataclass(slots=True)
class Context:
    """Made by the middleware; what runs further in adds what it finds out."""

    request_id: str
    problem_base_url: str
    limits: Limits
    headers: Mapping[bytes, bytes]
    """Of several with one name the first."""
    route: str | None = None
    caller: Caller | None = None
    claim: Claim | None = None
    session: AsyncSession | None = None

    @property
    def sees_personal_data(self) -> bool:
        return self.caller is not None and self.caller.sees_personal_data

    def header(self, name: bytes) -> str:
        """What a header says, empty when it was not sent: without the search through all of them."""
        return self.headers.get(name, b"").decode("latin-1")

    @classmethod
    def of(cls, scope: Scope) -> "Context":
        context = scope[_KEY]
        assert isinstance(context, cls)
        return context

    def enter(self, scope: Scope) -> None:
        scope[_KEY] = self

"""Who makes people known to the whole API, and what is known of one of them so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
from tests.api.api import Api
from tests.flows.conftest import LISTENERS

from crm_shared.testing import deliver, fresh_key


@dataclass
class Person:
    """A customer with something in every service: the values of the parameters that lead to it."""

    name: str
    number: int
    """Of each person's own, for the keys of what is theirs: people are made at once."""
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> UUID:
        return UUID(self.ids["customer_id"])

    @property
    def email(self) -> str:
        return f"{self.name}-{self.number}@canary.example"

    @property
    def phone(self) -> str:
        return f"+86138{self.number:08}"


@dataclass(frozen=True)
class Teller:
    """A member of staff, not the tester: who tries wrong codes is kept from right ones for a while."""

    system: Mapping[str, Api]
    http: httpx2.AsyncClient

    async def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str
    ) -> Any:
        gateway = self.system["gateway"]
        known = gateway.bearer(subject="teller") | fresh_key()
        answer = await self.http.request(method, gateway.url + path, json=body, headers=known | headers)
        assert answer.is_success, answer.text
        return answer.json()

    async def get(self, path: str) -> Any:
        return await self.send("GET", path)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self.send("POST", path, body)

    async def put(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self.send("PUT", path, body)

    async def put_first(self, path: str, body: Mapping[str, Any]) -> None:
        """The first version of what is written as a whole."""
        await self.send("PUT", path, body, **{"If-None-Match": "*"})

    async def put_for_all(self, path: str, body: Mapping[str, Any]) -> None:
        """What there is one of, for everybody: others may be writing it at the same time."""
        gateway = self.system["gateway"]
        headers = gateway.bearer(subject="teller")
        seen = await self.http.get(gateway.url + path, headers=headers)
        headers |= {"If-Match": seen.headers["ETag"]} if seen.is_success else {"If-None-Match": "*"}
        answer = await self.http.put(gateway.url + path, json=body, headers=headers)
        assert answer.status_code in (200, 412), answer.text

    async def deliver(self, source: str, *targets: str) -> None:
        """What the one has published reaches the others."""
        for target in targets:
            await deliver(
                self.system[source].sessions,
                self.system[target].sessions,
                LISTENERS[target],
                consumer=target,
                at=self.system["gateway"].issuer.clock.now(),
            )

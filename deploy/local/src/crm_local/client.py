"""The demo's HTTP client: an ordinary user of the public API, who repeats what was interrupted."""

import asyncio
from collections.abc import Callable
from types import TracebackType

import httpx2

from crm_shared.database import Json

_ATTEMPTS = 60
_PAUSE = 1.0
_TRY_AGAIN = (429, 502, 503, 504)


class Refused(Exception):
    """The platform answered with a problem that trying again would not change."""

    def __init__(self, method: str, path: str, status: int, problem: Json) -> None:
        super().__init__(f"{method} {path} answered {status}: {problem.get('detail', problem)}")
        self.status = status
        self.problem = problem


class Client:
    """Calls one gateway with one token.

    Every write carries an Idempotency-Key or an external id, so what got no answer is simply sent again:
    through restarts of any part for about a minute.
    """

    def __init__(self, address: str, token: str, interrupted: Callable[[str], None] = lambda _: None) -> None:
        self._interrupted = interrupted
        self._http = httpx2.AsyncClient(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> Json:
        return (await self.send("GET", path)).json()  # type: ignore[no-any-return]

    async def write(self, method: str, path: str, body: Json, *, key: str | None = None) -> Json:
        headers = {"Idempotency-Key": key} if key else {}
        return (await self.send(method, path, json=body, headers=headers)).json()  # type: ignore[no-any-return]

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """The answer, once there is one; raises Refused for a problem that is the request's own fault."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE)
            try:
                response = await self._http.request(method, path, json=json, content=content, headers=headers)
            except httpx2.TransportError as error:
                self._interrupted(f"{method} {path}: {type(error).__name__}, trying again")
                continue
            if response.status_code not in _TRY_AGAIN:
                break
            self._interrupted(f"{method} {path}: {response.status_code}, trying again")
        else:
            raise Refused(method, path, 0, {"detail": f"no answer in {_ATTEMPTS} attempts"})
        if response.status_code >= 400:
            raise Refused(method, path, response.status_code, response.json())
        return response

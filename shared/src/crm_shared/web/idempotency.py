"""Requests that may be sent twice: the reply is kept in the transaction of the effect, and given again."""

from contextlib import suppress
from functools import cached_property
from hashlib import sha256
from json import JSONDecodeError

import orjson
from fastapi import Request, Response, params
from starlette.responses import StreamingResponse

from crm_shared import idempotency
from crm_shared.clock import Clock
from crm_shared.idempotency import (
    AlreadyAnswered,
    Claim,
    IdempotencyKeyInUse,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
    StoredReply,
)
from crm_shared.metrics import Metrics
from crm_shared.web.context import Context
from crm_shared.web.markers import Label
from crm_shared.web.routing import Handler, Route

_METHODS = {"POST", "PATCH"}


class KeyRequired(Label):
    """Marks an operation that moves value."""


requires_key = params.Depends(KeyRequired())


class IdempotentRoute(Route):
    """Takes an Idempotency-Key with POST and PATCH: one effect, and the same 2xx for every retry.

    A refusal is not kept: it left no trace, and the same request may succeed later.
    """

    @cached_property
    def takes_key(self) -> bool:
        return not _METHODS.isdisjoint(self.methods or ())

    @cached_property
    def key_required(self) -> bool:
        return any(isinstance(marker, KeyRequired) for marker in self.markers)

    async def _compared(self, request: Request) -> bytes:
        """What of the body tells one request from another: of a streamed one its type and its length.

        JSON that differs in nothing but layout or order of members is the same.
        """
        if self.reads_stream:
            return f"{request.headers.get('content-type')} {request.headers.get('content-length')}".encode()
        with suppress(JSONDecodeError):  # what is not JSON is compared as it is
            return orjson.dumps(await request.json(), option=orjson.OPT_SORT_KEYS)
        return await request.body()

    async def answer(self, request: Request, context: Context, handle: Handler) -> Response:
        if not (self.takes_key and b"idempotency-key" in context.headers):
            if self.key_required:
                raise IdempotencyKeyMissing
            return await super().answer(request, context, handle)
        if [name for name, _ in request.scope["headers"]].count(b"idempotency-key") > 1:
            raise InvalidIdempotencyKey("A request has one Idempotency-Key.")
        context.claim = Claim(
            principal=context.caller.subject if context.caller else "",
            method=request.method,
            route=self.path_format,
            key=context.header(b"idempotency-key"),
            fingerprint=_fingerprint(request, context, await self._compared(request)),
        )

        async def kept(request: Request) -> Response:
            response = await handle(request)
            await _keep(request, context, response)
            return response

        metrics: Metrics = request.app.state.metrics
        try:
            return await super().answer(request, context, kept)
        except AlreadyAnswered as answered:
            metrics.idempotency_replays.inc()
            return Response(
                answered.reply.body,
                answered.reply.status,
                answered.reply.headers | {"Idempotency-Replayed": "true"},
            )
        except (IdempotencyKeyInUse, IdempotencyKeyReused) as refused:
            metrics.idempotency_conflicts.labels(refused.code()).inc()
            raise


async def _keep(request: Request, context: Context, response: Response) -> None:
    """Store a 2xx reply while the transaction of its effect is still open."""
    if context.claim is None or context.session is None or not 200 <= response.status_code < 300:
        return
    if isinstance(response, StreamingResponse):
        raise TypeError(f"{context.claim.route} streams its answer: there is nothing to keep")
    clock: Clock = request.app.state.clock
    reply = StoredReply.of(response.status_code, response.headers, bytes(response.body))
    path: str = request.scope["path"]
    await idempotency.remember(context.session, context.claim, reply, path=path, at=clock.now())


def _fingerprint(request: Request, context: Context, body: bytes) -> bytes:
    """Digest of what is asked, `body` being what of it is compared.

    The condition is part of it: a reply to a change of one version says nothing of another. So is what the
    caller may see: who may see less must not get the reply of who may see more.
    """
    digest = sha256(request.scope["path"].encode(errors="surrogatepass"))
    digest.update(b"\0" + request.scope["query_string"])
    digest.update(b"\0" + context.header(b"if-match").encode() + b"\0" + body)
    if context.caller is not None:
        digest.update(b"\0" + context.caller.rights)
    return digest.digest()

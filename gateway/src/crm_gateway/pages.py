"""What the gateway serves for reading, from memory: the API description and a page that shows it."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from starlette.types import Scope, Send

from crm_gateway.incoming import header

_ASSETS = resources.files("fastapi_offline") / "static"
"""Swagger UI, as the package ships it: the page asks no other host for anything."""
_SCRIPT = b"""\
window.onload = () => SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#docs", deepLinking: true, displayRequestDuration: true,
  docExpansion: "none", filter: true, persistAuthorization: false, validatorUrl: null,
});
"""
_HTML = b"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CRM API</title>
<link rel="icon" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Page:
    """One page, plain and compressed."""

    body: bytes
    compressed: bytes
    media_type: bytes
    etag: bytes
    cache: bytes

    @classmethod
    def of(cls, body: bytes, media_type: str, *, cache: str = "no-cache") -> "Page":
        tag = b'"%b"' % sha256(body).hexdigest()[:32].encode()
        return cls(body, gzip.compress(body, 6, mtime=0), media_type.encode(), tag, cache.encode())

    async def answer(self, scope: Scope, send: Send) -> None:
        """200 with the page, or 304 when the client has it already."""
        headers = [
            (b"etag", self.etag),
            (b"cache-control", self.cache),
            (b"vary", b"accept-encoding"),
            (b"content-security-policy", _POLICY),
        ]
        known = header(scope, b"if-none-match")
        if self.etag in known or known == b"*":
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        body = self.body
        if b"gzip" in header(scope, b"accept-encoding"):
            body = self.compressed
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-type", self.media_type))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def pages(document: Mapping[str, Any]) -> dict[str, Page]:
    """All pages by their path; whoever only knows the address is shown what there is."""
    docs = Page.of(_HTML, "text/html; charset=utf-8")
    return {
        "/": docs,
        "/openapi.json": Page.of(json.dumps(document, ensure_ascii=False).encode(), "application/json"),
        "/docs": docs,
        "/docs/start.js": Page.of(_SCRIPT, "text/javascript; charset=utf-8"),
        "/docs/swagger-ui-bundle.js": _asset("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        "/docs/swagger-ui.css": _asset("swagger-ui.css", "text/css; charset=utf-8"),
        "/docs/favicon.png": _asset("favicon.png", "image/png"),
    }


@cache
def _asset(name: str, media_type: str) -> Page:
    return Page.of((_ASSETS / name).read_bytes(), media_type, cache="public, max-age=86400")

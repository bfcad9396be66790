"""The issuer's public keys: given, or fetched and kept fresh without ever flooding the issuer."""

import asyncio
import json
import logging
from datetime import datetime, timedelta
from typing import Protocol

import aiohttp
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey

from crm_gateway.errors import SignInUnavailable

log = logging.getLogger(__name__)

FRESH = timedelta(minutes=10)
USABLE = timedelta(hours=24)
PAUSE = timedelta(seconds=30)
_MAX_BYTES = 256 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=5)


class Keys(Protocol):
    """Where the issuer's keys come from."""

    async def find(self, kid: str | None, *, at: datetime) -> Key | None:
        """The key of that id, or the only one there is for a token that names none."""


def import_key_set(text: str | bytes) -> KeySet:
    """The public keys for signatures in a JWK or a JWK set; secrets and keys for other uses are left out.

    Raises ValueError when there is none.
    """
    try:
        document = json.loads(text)
        entries = [key for key in document.get("keys", [document]) if key.get("use", "sig") == "sig"]
        keys = KeySet.import_key_set({"keys": entries}).keys
    except (ValueError, TypeError, KeyError, AttributeError, JoseError) as error:
        raise ValueError("is no JWK or JWK set") from error
    public: list[Key] = [key for key in keys if isinstance(key, RSAKey | ECKey | OKPKey)]
    if not public:
        raise ValueError("has no public key for signatures")
    return KeySet(public)


def pick(keys: KeySet, kid: str | None) -> Key | None:
    if kid is None:
        return keys.keys[0] if len(keys.keys) == 1 else None
    return next((key for key in keys.keys if key.kid == kid), None)


class GivenKeys:
    """Keys from the settings."""

    def __init__(self, text: str) -> None:
        self._keys = import_key_set(text)

    async def find(self, kid: str | None, *, at: datetime) -> Key | None:
        return pick(self._keys, kid)


class FetchedKeys:
    """Keys from the issuer's JWKS address, fetched by one request at a time.

    They are fresh for ten minutes, and usable for a day when the issuer is down. An unknown key id may mean
    that the issuer has new keys: it asks again, but never more often than every thirty seconds.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http
        self._keys: KeySet | None = None
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._fetching = asyncio.Lock()

    async def find(self, kid: str | None, *, at: datetime) -> Key | None:
        """Raises SignInUnavailable when there are no keys that may still be used."""
        if self._age(at) >= FRESH:
            await self._refresh(at)
        if self._keys is None or self._age(at) >= USABLE:
            raise SignInUnavailable("The issuer's keys cannot be had.", headers={"retry-after": "30"})
        key = pick(self._keys, kid)
        if key is None:
            await self._refresh(at)
            key = pick(self._keys, kid)
        return key

    def _age(self, at: datetime) -> timedelta:
        return at - self._fetched_at if self._fetched_at is not None else timedelta.max

    def _may_try(self, at: datetime) -> bool:
        return self._tried_at is None or at - self._tried_at >= PAUSE

    async def _refresh(self, at: datetime) -> None:
        """Ask the issuer, unless somebody did a moment ago; who comes meanwhile waits for that answer."""
        if not self._may_try(at) and not self._fetching.locked():
            return
        async with self._fetching:
            if not self._may_try(at):
                return
            self._tried_at = at
            try:
                self._keys = await self._fetch()
                self._fetched_at = at
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                log.warning("the issuer's keys could not be fetched", extra={"reason": repr(error)})

    async def _fetch(self) -> KeySet:
        # A redirect could lead to keys of somebody else's choosing.
        async with self._http.get(self._url, allow_redirects=False, timeout=_TIMEOUT) as response:
            if response.status != 200:
                raise ValueError(f"the issuer answered {response.status}")
            body = await response.content.read(_MAX_BYTES + 1)
            while len(body) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
                body += more
            if len(body) > _MAX_BYTES:
                raise ValueError("the key set is too large")
            return import_key_set(body)

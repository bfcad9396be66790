"""Sign-in: credentials, checked once and remembered, become the internal token that services accept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from joserfc.jwk import OKPKey

from crm_gateway import api_keys
from crm_gateway.errors import CredentialsMissing, InvalidCredentials
from crm_gateway.incoming import Incoming
from crm_gateway.tokens import Tokens
from crm_shared.callers import Caller, mint
from crm_shared.database import Sessions

REUSED_FOR = timedelta(seconds=30)
REMEMBERED_FOR = timedelta(minutes=10)
"""At most: then a key that the issuer has withdrawn is noticed."""
_REMEMBERED = 10_000
_CHALLENGE = {"www-authenticate": 'Bearer realm="crm"'}
_REFUSED = {"www-authenticate": 'Bearer realm="crm", error="invalid_token"'}


@dataclass(slots=True)
class Principal:
    """A verified caller, until when to believe it, and the internal token that speaks for it now."""

    caller: Caller
    until: datetime
    authorization: bytes = b""
    renew_at: datetime | None = None


class SignIn:
    """Turns credentials into principals; nothing of the credentials but a digest is kept."""

    def __init__(self, tokens: Tokens, sessions: Sessions, private_key: OKPKey) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._private_key = private_key
        self._principals: dict[bytes, Principal] = {}
        self._signed: dict[Caller, tuple[datetime, bytes]] = {}

    def known(self, credential: bytes, *, at: datetime) -> Principal | None:
        """The principal of a credential that was checked not long ago."""
        principal = self._principals.get(sha256(credential).digest())
        if principal is None or at >= principal.until:
            return None
        return self._speaking(principal, at)

    async def check(self, credential: bytes, *, at: datetime) -> Principal:
        """The principal of a credential; raises InvalidCredentials, SignInUnavailable."""
        text = credential.decode("latin-1")
        try:
            if text.startswith(api_keys.PREFIX):
                async with self._sessions.begin() as session:
                    caller, until = await api_keys.verify(session, text, at=at)
            else:
                caller, until = await self._tokens.verify(text, at=at)
        except InvalidCredentials as refused:
            refused.headers.update(_REFUSED)
            raise
        if len(self._principals) >= _REMEMBERED:
            self._principals.clear()
        principal = Principal(caller, min(until, at + REMEMBERED_FOR))
        self._principals[sha256(credential).digest()] = principal
        return self._speaking(principal, at)

    def _speaking(self, principal: Principal, at: datetime) -> Principal:
        """With an internal token that has at least half of its minute before it."""
        if principal.renew_at is None or at >= principal.renew_at:
            principal.renew_at, principal.authorization = self._sign(principal.caller, at)
        return principal

    def _sign(self, caller: Caller, at: datetime) -> tuple[datetime, bytes]:
        """One signature per caller, however many tokens the caller comes with."""
        signed = self._signed.get(caller)
        if signed is None or at >= signed[0]:
            if len(self._signed) >= _REMEMBERED:
                self._signed.clear()
            token = mint(caller, self._private_key, at=at)
            signed = self._signed[caller] = (at + REUSED_FOR, b"Bearer " + token.encode())
        return signed


def credential(incoming: Incoming) -> bytes:
    """The token or the key that came with the request; raises CredentialsMissing, InvalidCredentials."""
    if incoming.api_key is not None:
        if not incoming.api_key.startswith(api_keys.PREFIX.encode()):
            raise InvalidCredentials("The API key is not one of ours.", headers=_REFUSED)
        return incoming.api_key
    if incoming.authorization is None:
        raise CredentialsMissing(
            "Send `Authorization: Bearer <token>` or `X-Api-Key: <key>`.", headers=_CHALLENGE
        )
    scheme, _, token = incoming.authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token.strip():
        raise InvalidCredentials("Only bearer tokens and API keys are accepted.", headers=_REFUSED)
    return token.strip()

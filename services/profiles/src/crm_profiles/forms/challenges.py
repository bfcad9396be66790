"""Challenges: work that costs whoever submits a form a moment and a flood of submissions too much."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from crm_profiles.errors import ProofRefused
from crm_shared.ids import uuid7

LASTS = timedelta(hours=2)
"""So long may it take to fill in a form."""

_ALGORITHM = "HS256"
_DIGEST_BITS = 256


@dataclass(frozen=True)
class Challenge:
    """What is asked for; `id` makes it good for one submission."""

    id: UUID
    form_key: str
    difficulty: int
    expires_at: datetime

    def token(self, key: bytes) -> str:
        """Signed, so that nobody asks themselves for less."""
        claims: dict[str, object] = {
            "jti": str(self.id),
            "aud": self.form_key,
            "exp": int(self.expires_at.timestamp()),
            "difficulty": self.difficulty,
        }
        return jwt.encode({"alg": _ALGORITHM}, claims, OctKey.import_key(key), algorithms=[_ALGORITHM])


def issue(form_key: str, difficulty: int, *, at: datetime) -> Challenge:
    """A new challenge for one submission of the form."""
    return Challenge(uuid7(), form_key, difficulty, (at + LASTS).replace(microsecond=0))


def check(token: str | None, proof: str | None, *, form_key: str, key: bytes, at: datetime) -> Challenge:
    """The challenge whose work is done; raises ProofRefused."""
    if token is None or proof is None:
        raise _refused("/challenge", "challenge_missing", "This form asks for a proof of work.")
    challenge = _read(token, key)
    if challenge.form_key != form_key:
        raise _refused("/challenge", "challenge_invalid", "This challenge is of another form.")
    if at >= challenge.expires_at:
        raise _refused("/challenge", "challenge_expired", "This challenge has expired.")
    if zero_bits(f"{token}.{proof}") < challenge.difficulty:
        raise _refused("/proof", "proof_invalid", "This is not the work that was asked for.")
    return challenge


def zero_bits(text: str) -> int:
    """With how many zero bits the SHA-256 of the text begins."""
    return _DIGEST_BITS - int.from_bytes(sha256(text.encode()).digest()).bit_length()


def _read(token: str, key: bytes) -> Challenge:
    try:
        claims = jwt.decode(token, OctKey.import_key(key), algorithms=[_ALGORITHM]).claims
        return Challenge(
            id=UUID(claims["jti"]),
            form_key=claims["aud"],
            difficulty=claims["difficulty"],
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise _refused("/challenge", "challenge_invalid", "This challenge is not one of ours.") from error


def _refused(pointer: str, code: str, message: str) -> ProofRefused:
    return ProofRefused(message, errors=[{"pointer": pointer, "code": code, "message": message}])

"""What the gateway itself can refuse, and why."""

from crm_shared.problems import (
    BadRequest,
    Conflict,
    Forbidden,
    GatewayTimeout,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unprocessable,
)


class RouteNotFound(NotFound):
    """No service offers this path."""


class CredentialsMissing(Unauthorized):
    """A bearer token or an API key is needed."""


class InvalidCredentials(Unauthorized):
    """The token or key is not one that this gateway accepts."""


class SignInUnavailable(Unavailable):
    """Whether the caller may come in cannot be told at the moment."""


class OriginNotAllowed(Forbidden):
    """Pages of this origin may not call the API."""


class QuotaExceeded(TooManyRequests):
    """More requests than the caller's quota allows."""


class ConcurrencyExceeded(TooManyRequests):
    """More requests at once than one caller may have under way."""


class ClientGone(BadRequest):
    """The client closed the connection while it was still sending: nobody will read this."""


class AmbiguousRequest(BadRequest):
    """Where the request ends, or what it asks for, could be understood in two ways."""


class UpstreamUnavailable(Unavailable):
    """A service does not answer; the others do."""


class UpstreamTimeout(GatewayTimeout):
    """A service did not answer within its deadline."""


class EverythingUnavailable(Unavailable):
    """None of the services answered."""


class ApiKeyNotFound(NotFound): ...


class ApiKeyRevoked(Conflict):
    """A revoked key can neither be rotated nor used again."""


class ApiKeyAlreadyIssued(Conflict):
    """An earlier request with this `Idempotency-Key` issued the key; its secret was shown only then."""


class ExpiryInThePast(Unprocessable):
    """A key must expire later than now."""

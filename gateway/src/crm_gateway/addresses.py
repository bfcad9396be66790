"""Where a request comes from, by the one who connects to us and by the proxies that we trust."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

_UNKNOWN = "address:unknown"
_IPV6_PREFIX = 64
"""What one subscriber has at least: a limit for each single address would be none."""


class Addresses:
    """Finds the client's address, by which those are counted who do not sign in."""

    def __init__(self, trusted: Iterable[IPv4Network | IPv6Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> str:
        """The peer; behind trusted proxies the last hop in X-Forwarded-For that is none of them.

        What stands further left anybody may have written.
        """
        client = scope.get("client")
        if not client:
            return _UNKNOWN
        if not self._trusted:
            return _named(client[0])
        address: str = client[0]
        for hop in reversed(_forwarded(scope)):
            if not self._trusts(address):
                break
            if _parsed(hop) is None:
                break  # a trusted proxy would not have written this: it is as far as one can see
            address = hop
        return _named(address)

    def _trusts(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(address in network for network in self._trusted)


def _forwarded(scope: Scope) -> list[str]:
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [hop.strip() for hop in ",".join(values).split(",")]


@lru_cache(maxsize=4096)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def _named(text: str) -> str:
    address = _parsed(text)
    if address is None:
        return _UNKNOWN
    if isinstance(address, IPv6Address):
        return f"address:{IPv6Network((int(address), _IPV6_PREFIX), strict=False)}"
    return f"address:{address}"

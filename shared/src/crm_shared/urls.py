"""Settings that are addresses: checked as URLs, and strings all the same, for more is appended to some."""

import re
from typing import Annotated

from pydantic import AfterValidator, AnyUrl, TypeAdapter, UrlConstraints

_HOST_FOLLOWS = re.compile(r"\s*[^\s:/]+://[^\s/\\]")


def _address(*schemes: str, of_server: bool = False, user: bool = True) -> AfterValidator:
    """The address as a parser writes it, but with a slash at its end only if it came with one.

    `of_server`: nothing comes after its port. No `schemes`: any will do.
    """
    example = f"{schemes[0] if schemes else 'https'}://host:port"
    address: TypeAdapter[AnyUrl] = TypeAdapter(
        Annotated[AnyUrl, UrlConstraints(allowed_schemes=list(schemes) or None, host_required=True)]
    )

    def check(said: str) -> str:
        # A parser would take a host from the path.
        if not _HOST_FOLLOWS.match(said):
            raise ValueError(f"is not like {example}")
        url = address.validate_python(said)
        if url.port == 0:
            raise ValueError("ports are from 1 to 65535")
        if of_server and (url.path not in (None, "/") or url.query or url.fragment):
            raise ValueError(f"is not like {example}: something comes after")
        if not user and (url.username or url.password):
            raise ValueError(f"is not like {example}: it names a user")
        written = str(url)
        return written if said.endswith("/") else written.removesuffix("/")

    return AfterValidator(check)


def _without_slash(said: str) -> str:
    return said.removesuffix("/")


HttpAddress = Annotated[str, _address("http", "https")]
HttpServer = Annotated[str, _address("http", "https", of_server=True, user=False)]
SmtpServer = Annotated[str, _address("smtp", "smtps", of_server=True)]
Origin = Annotated[str, _address(of_server=True, user=False), AfterValidator(_without_slash)]
"""As browsers send it."""

_Broker = TypeAdapter[str](Annotated[str, _address("kafka", of_server=True, user=False)])


def _brokers(said: str) -> str:
    for server in said.split(","):
        _Broker.validate_python(f"kafka://{server}")
    return said


Brokers = Annotated[str, AfterValidator(_brokers)]
"""`host:port`, with commas between."""

"""The media types that a route takes and gives: JSON, unless it says something else."""

from fastapi import Request, params

from crm_shared.problems import NotAcceptable, UnsupportedMediaType
from crm_shared.web.context import Context
from crm_shared.web.markers import Label

JSON = "application/json"
PROBLEM = "application/problem+json"


class WrongContentType(UnsupportedMediaType): ...


class Takes(Label):
    """The types of the body, which the route reads itself."""

    def __init__(self, *types: str) -> None:
        self.types = types

    def check(self, request: Request) -> None:
        """Raises WrongContentType."""
        if sent_type(request) not in self.types:
            raise WrongContentType(f"Send {' or '.join(self.types)}.")


class Gives(Label):
    """The types of which the answer is one; problems are JSON all the same."""

    def __init__(self, *types: str) -> None:
        self.types = types
        ranges = {f"{one.split('/', 1)[0]}/*" for one in types}
        self._accepted = {"*/*", *types, *ranges, "application/*", PROBLEM}

    def check(self, request: Request) -> None:
        """Raises NotAcceptable."""
        accept = Context.of(request.scope).header(b"accept")
        if not accept or accept in self._accepted:
            return
        if not any(part.split(";", 1)[0].strip().lower() in self._accepted for part in accept.split(",")):
            raise NotAcceptable(f"Answers are {' or '.join(self.types)}; problems are {PROBLEM}.")


GIVES_JSON = Gives(JSON)


def takes(*types: str) -> params.Depends:
    """For a route that reads its body from `request.stream()`: `takes("text/csv")`."""
    return params.Depends(Takes(*types))


def gives(*types: str) -> params.Depends:
    """For a route that answers with something else than JSON: `gives("text/event-stream")`."""
    return params.Depends(Gives(*types))


def sent_type(request: Request) -> str:
    """The media type of the body, without its parameters."""
    return Context.of(request.scope).header(b"content-type").split(";", 1)[0].strip().lower()

"""Entity tags: the version of an aggregate as a strong ETag, and the check of a stale one."""

from crm_shared.problems import PreconditionFailed, PreconditionRequired


class StaleVersion(PreconditionFailed):
    """Somebody else changed it meanwhile: read it again."""


class IfMatchMissing(PreconditionRequired):
    """This replaces the whole: say in If-Match which version you have seen."""


def etag(version: int) -> str:
    return f'"{version}"'


def matches(header: str, version: int) -> bool:
    """Whether an If-Match or If-None-Match header names this version (weak tags compare by value)."""
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag(version) in tags


def check(if_match: str | None, version: int) -> None:
    """Raise StaleVersion when the caller's copy is not the current one; no header, no check."""
    if if_match is not None and not matches(if_match, version):
        raise StaleVersion(f"The current version is {version}.", current_version=version)


def require(if_match: str | None, version: int) -> None:
    """The check for what replaces a whole; raises IfMatchMissing, StaleVersion."""
    if if_match is None:
        raise IfMatchMissing(f"Send If-Match with the ETag that you have read; it is {etag(version)} now.")
    check(if_match, version)

"""Logs: one JSON object a line, with the request's and the trace's ids, whoever wrote the line."""

import logging
import logging.config
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from time import time
from typing import TextIO

import orjson

from crm_shared import tracing
from crm_shared.database import in_words
from crm_shared.scoped import Scoped
from crm_shared.settings import ServiceSettings

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {
    "message",
    "asctime",
    "taskName",
}

_facts: ContextVar[dict[str, object]] = ContextVar("crm_log_facts", default={})  # noqa: B039 never changed in place


def facts(**added: object) -> AbstractContextManager[None]:
    """Put these into every line that is logged inside."""
    return Scoped(_facts, _facts.get() | added)


class JsonFormatter(logging.Formatter):
    """Renders the constant message as `event`, and what was given as `extra=` beside it."""

    def __init__(self, constants: dict[str, str]) -> None:
        super().__init__()
        self._constants = constants

    def format(self, record: logging.LogRecord) -> str:
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            given["exception"] = _traced(record.exc_info[1])
        return self.line(record.created, record.levelname, record.getMessage(), record.name, given)

    def line(self, at: float, level: str, event: str, logger: str, given: Mapping[str, object]) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(at, UTC),
            "level": level.lower(),
            **self._constants,
            "event": event,
            "logger": logger,
            **_facts.get(),
        }
        trace = tracing.here()
        if trace is not None:
            line["trace_id"] = trace.trace_id
            line["span_id"] = trace.span_id
        line.update(given)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class Lines(logging.StreamHandler[TextIO]):
    """Writes our lines to stderr."""

    def __init__(self, constants: dict[str, str]) -> None:
        super().__init__()
        self._json = JsonFormatter(constants)
        self.setFormatter(self._json)

    def say(self, logger: logging.Logger, event: str, given: Mapping[str, object]) -> None:
        """What `emit` writes of a record, without one."""
        line = self._json.line(time(), "info", event, logger.name, given)
        with suppress(OSError):  # as with `emit`, nothing fails because it cannot be told
            self.stream.write(f"{line}{self.terminator}")
            self.stream.flush()


def say(logger: logging.Logger, event: str, given: Mapping[str, object]) -> None:
    """As `logger.info(event, extra=given)`, for a third of the cost: for the line that each request leaves.

    Where somebody else handles the root's lines, they get a record.
    """
    match logging.root.handlers:
        case [Lines() as lines]:
            if logger.isEnabledFor(logging.INFO):
                lines.say(logger, event, given)
        case _:
            logger.info(event, extra=given)


def _forgo_the_unused() -> None:
    """Have records made without what our lines never show, as logging's HOWTO has it."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _traced(error: BaseException | None) -> str:
    """The traceback, causes first, as Python prints it but for the values that messages quote."""
    parts: list[str] = []
    while error is not None:
        parts.append("".join([*traceback.format_tb(error.__traceback__), in_words(error)]))
        if isinstance(error, BaseExceptionGroup):
            parts += [_traced(inner) for inner in error.exceptions]
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        error = cause
    return "\n\nwhich led to\n\n".join(reversed(parts))


def configure(settings: ServiceSettings) -> None:
    """Send all logging of the process, the server's included, to stderr as JSON.

    uvicorn sets its loggers up before it builds the application and says nothing until then, so it is undone
    here in time; its access log is off because ours says more. Where somebody else already handles the root's
    lines (a test runner), they keep them.
    """
    handler = Lines({"service": settings.service, "version": settings.release, "env": settings.environment})
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(handler)
        _forgo_the_unused()
        root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.captureWarnings(True)

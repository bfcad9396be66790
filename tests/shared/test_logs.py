"""What a log says of an error: where and what, and none of the values that messages quote."""

import json
import logging
from io import StringIO

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from crm_shared.database import Sessions, in_words
from crm_shared.logs import JsonFormatter, Lines

SECRET = "canary@example.com"


class Reading(BaseModel):
    temperature: int


def logged(error: BaseException) -> str:
    """What stands in the log about the error."""
    facts = (type(error), error, error.__traceback__)
    record = logging.LogRecord("test", logging.ERROR, __file__, 1, "request failed", None, facts)
    line = JsonFormatter({"service": "test"}).format(record)
    exception: str = json.loads(line)["exception"]
    return exception


async def test_a_broken_constraint_is_told_without_the_values_that_broke_it(sessions: Sessions) -> None:
    async with sessions() as session:
        await session.execute(text("CREATE TEMPORARY TABLE points (value text PRIMARY KEY)"))
        add = text("INSERT INTO points VALUES (:value)")
        await session.execute(add, {"value": SECRET})
        with pytest.raises(IntegrityError) as caught:
            await session.execute(add, {"value": SECRET})
        assert SECRET in str(caught.value), "the driver quotes it"
        with pytest.raises(RuntimeError) as failed:
            raise RuntimeError("the batch failed") from caught.value
    said = logged(failed.value)
    assert SECRET not in said
    assert "23505" in said
    assert "test_logs.py" in said
    assert said.endswith("RuntimeError: the batch failed")


def test_a_value_that_does_not_fit_is_told_by_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Reading.model_validate({"temperature": SECRET})

    assert SECRET in str(caught.value)
    assert SECRET not in logged(caught.value)
    assert in_words(caught.value) == "ValidationError: temperature: int_parsing"


def test_what_is_said_without_a_record_reads_as_if_there_were_one() -> None:
    lines, written = Lines({"service": "test"}), StringIO()
    lines.setStream(written)
    given = {"route": "/v1/notes", "status": 200}
    lines.say(logging.getLogger("test"), "it happened", given)
    lines.emit(logging.makeLogRecord({"name": "test", "levelname": "INFO", "msg": "it happened", **given}))
    said, emitted = (json.loads(line) for line in written.getvalue().splitlines())
    assert said.pop("ts") <= emitted.pop("ts")
    assert said == emitted
    assert said["status"] == 200

"""Forms: everybody may fill them in, nobody learns from them who is known, nothing on file is overwritten."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from tests.conftest import ClientFactory
from tests.profiles.conftest import Work
from tests.profiles.sign_up import ANSWERS, SIGN_UP, define, submissions, submit

from crm_shared.callers import Role
from crm_shared.ids import uuid7
from crm_shared.testing import FrozenClock


async def test_a_form_is_read_by_everybody_in_their_language(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient
) -> None:
    await define(profiles, difficulty=9)
    shown = await everybody.get("/v1/forms/sign-up", headers={"Accept-Language": "fr, zh-CN;q=0.8, en;q=0.2"})
    assert (shown.json()["title"], shown.json()["language"]) == ("加入我们", "zh")
    assert shown.json()["fields"][1]["label"] == "Phone"
    assert shown.json()["challenge"]["difficulty"] == 9
    assert "target" not in shown.text
    assert (await everybody.get("/v1/forms/nothing")).json()["code"] == "form_not_found"


async def test_what_is_submitted_makes_somebody_known(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles)
    answer = await submit(everybody, ANSWERS)
    assert answer.status_code == 202, answer.text
    assert answer.json()["thanks"] == "Thank you."
    await work()

    [found] = await submissions(profiles)
    assert found["state"] == "applied"
    path = f"/v1/customers/{found['customer_id']}"
    customer = (await profiles.get(path)).json()
    assert (customer["name"], customer["address"]["city"], customer["birth_date"]) == (
        "Zoë Quinn",
        "上海",
        "1990-05-01",
    )
    assert (customer["channel"], customer["source"]) == ("registration", "form.sign-up")
    assert [point["value"] for point in customer["contact_points"]] == ["zoe@example.com", "+8613812345678"]
    assert (await profiles.get(f"{path}/preferences")).json()["items"][0]["value"] == "jazz"
    [consent] = (await profiles.get(f"{path}/consents")).json()["items"]
    assert (consent["state"], consent["source"]) == ("granted", "form.sign-up")
    assert "Send me news" in consent["evidence"]
    entries = (await profiles.get(f"{path}/timeline")).json()["items"]
    [entry] = [entry for entry in entries if entry["type"] == "form.submitted"]
    assert entry["data"]["answers"] == {"music": "jazz", "why": "I like the tea"}


async def test_the_answer_never_tells_whether_somebody_is_known(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles)
    known = {"kind": "phone", "value": "+8613812345678"}
    await profiles.post("/v1/customers", json={"name": "Zoë", "contact_points": [known]})
    answers = [
        await submit(everybody, {"name": "X", "phone": phone}) for phone in ("13812345678", "13912345678")
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    one, other = ({**answer.json(), "submission_id": ""} for answer in answers)
    assert one == other
    assert [name for name in answers[0].headers] == [name for name in answers[1].headers]


async def test_a_stranger_fills_in_what_is_empty_and_only_suggests_the_rest(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles)
    known = {"kind": "phone", "value": "+8613812345678"}
    body = {"name": "Zoë", "contact_points": [known], "address": {"postal_code": "200001"}}
    customer = (await profiles.post("/v1/customers", json=body)).json()["id"]
    path = f"/v1/customers/{customer}"
    await profiles.put(f"{path}/preferences/music", json={"value": "rock", "source": "staff"})
    denied = {"state": "denied", "source": "staff"}
    assert (await profiles.put(f"{path}/consents/marketing/email", json=denied)).status_code == 200
    await submit(everybody, ANSWERS)
    await work()

    after = (await profiles.get(path)).json()
    assert (after["name"], after["birth_date"]) == ("Zoë", "1990-05-01")
    assert (after["address"]["city"], after["address"]["postal_code"]) == ("上海", "200001")
    assert [point["value"] for point in after["contact_points"]] == ["+8613812345678"]
    [found] = await submissions(profiles)
    assert (found["state"], found["customer_id"]) == ("suggested", customer)
    assert found["suggestions"] == {
        "name": "Zoë Quinn",
        "email": "zoe@example.com",
        "music": "jazz",
        "news": True,
    }

    decision = f"/v1/forms/sign-up/submissions/{found['id']}/decision"
    stale = await profiles.post(decision, json={"accept": []}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    decided = await profiles.post(decision, json={"accept": ["name", "email", "news"]})
    assert decided.status_code == 200, decided.text
    assert (decided.json()["state"], decided.json()["accepted"]) == ("decided", ["name", "email", "news"])
    after = (await profiles.get(path)).json()
    assert after["name"] == "Zoë Quinn"
    assert [point["value"] for point in after["contact_points"]] == ["zoe@example.com", "+8613812345678"]
    assert (await profiles.get(f"{path}/preferences")).json()["items"][0]["value"] == "rock"
    assert (await profiles.get(f"{path}/consents")).json()["items"][0]["state"] == "granted"
    again = await profiles.post(decision, json={"accept": []})
    assert again.json()["code"] == "nothing_suggested"


async def test_two_submissions_about_one_person_make_one_customer(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work, clock: FrozenClock
) -> None:
    await define(profiles)
    await submit(everybody, {"name": "Zoë", "phone": "13812345678"})
    await submit(everybody, {"name": "Zoë", "phone": "13812345678", "email": "zoe@example.com"})
    await submit(everybody, {"name": "Ann", "email": "ann@example.com"})
    for _ in range(2):
        await work()
        clock.advance(timedelta(seconds=1))
    found = await submissions(profiles)
    assert [each["state"] for each in found] == ["applied", "suggested", "applied"]
    assert found[1]["customer_id"] == found[2]["customer_id"] != found[0]["customer_id"]
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 2


async def test_who_cannot_be_reached_is_not_made_known(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles)
    await submit(everybody, {"name": "Nobody", "why": "just so"})
    await work()
    [found] = await submissions(profiles)
    assert (found["state"], found["customer_id"]) == ("unmatched", None)
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 0


async def test_sending_again_has_no_second_effect(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles, max_per_minute=1)
    chosen = str(uuid7())
    first = await submit(everybody, ANSWERS, submission_id=chosen)
    again = await submit(everybody, ANSWERS, submission_id=chosen)
    assert first.json() == again.json() == {"submission_id": chosen, "thanks": "Thank you."}
    other = await submit(everybody, ANSWERS | {"name": "Other"}, submission_id=chosen)
    assert (other.status_code, other.json()["code"]) == (409, "submission_differs")
    assert len(await submissions(profiles)) == 1


async def test_a_flood_is_refused_until_the_minute_has_passed(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, clock: FrozenClock
) -> None:
    await define(profiles, max_per_minute=2)
    assert [(await submit(everybody, ANSWERS)).status_code for _ in range(2)] == [202, 202]
    clock.advance(timedelta(seconds=20))
    refused = await submit(everybody, ANSWERS)
    assert (refused.status_code, refused.json()["code"]) == (429, "form_busy")
    assert refused.headers["retry-after"] == "40"
    clock.advance(timedelta(seconds=40))
    assert (await submit(everybody, ANSWERS)).status_code == 202


async def test_a_program_that_fills_in_the_trap_is_thanked_and_forgotten(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles, difficulty=20)
    answer = await submit(everybody, {"name": "Buy now"}, homepage="https://spam.example")
    assert (answer.status_code, answer.json()["thanks"]) == (202, "Thank you.")
    await work()
    [found] = await submissions(profiles)
    assert (found["state"], found["answers"]) == ("trapped", {})


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"name": None}, "/answers/name"),
        ({"phone": "12"}, "/answers/phone"),
        ({"email": "zoe"}, "/answers/email"),
        ({"born": "1990-02-30"}, "/answers/born"),
        ({"music": "polka"}, "/answers/music"),
        ({"news": "yes"}, "/answers/news"),
        ({"why": "x" * 2001}, "/answers/why"),
        ({"why": {"a": 1}}, "/answers/why"),
        ({"unknown": "x"}, "/answers/unknown"),
    ],
)
async def test_answers_that_do_not_fit_are_pointed_at(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, changed: dict[str, Any], pointer: str
) -> None:
    await define(profiles)
    answer = await submit(everybody, {**ANSWERS, **changed})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_form_cannot_tell_of_what_there_is_not(profiles: httpx2.AsyncClient) -> None:
    fields: list[dict[str, Any]] = [
        {"type": "text", "target": {"kind": "attribute", "attribute": "nothing"}},
        {"type": "boolean", "target": {"kind": "consent", "purpose": "spying", "channel": "email"}},
        {
            "type": "choice",
            "choices": [{"value": "x", "label": {"en": "X"}}],
            "target": {"kind": "member", "member": "gender"},
        },
    ]
    named = [{"key": f"f{n}", "label": {"en": "?"}} | field for n, field in enumerate(fields)]
    answer = await profiles.put("/v1/forms/bad", json=SIGN_UP | {"fields": named})
    assert answer.json()["code"] == "invalid_form"
    assert sorted(error["pointer"] for error in answer.json()["errors"]) == [
        "/fields/0/target/attribute",
        "/fields/1/target/purpose",
        "/fields/2/choices/0/value",
    ]


async def test_a_form_is_replaced_only_by_who_has_seen_it(profiles: httpx2.AsyncClient) -> None:
    await define(profiles)
    changed = SIGN_UP | {"open": False}
    assert (await profiles.put("/v1/forms/sign-up", json=changed)).status_code == 428
    stale = await profiles.put("/v1/forms/sign-up", json=changed, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    done = await profiles.put("/v1/forms/sign-up", json=changed, headers={"If-Match": '"1"'})
    assert (done.status_code, done.headers["etag"]) == (200, '"2"')
    defined = await profiles.get("/v1/forms/sign-up/definition")
    assert (defined.json()["version"], defined.json()["open"]) == (2, False)
    assert [form["key"] for form in (await profiles.get("/v1/forms")).json()["items"]] == ["sign-up"]


async def test_a_closed_form_takes_answers_from_staff_only(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient
) -> None:
    await define(profiles, open=False)
    assert (await submit(everybody, ANSWERS)).json()["code"] == "form_closed"
    assert "This form is closed." in (await everybody.get("/v1/forms/sign-up/page")).text
    known = [{"kind": "phone", "value": "+8613812345678"}, {"kind": "email", "value": "zoe@example.com"}]
    body = {"name": "Zoë", "contact_points": known}
    customer = (await profiles.post("/v1/customers", json=body)).json()["id"]
    asked = {"customer_id": customer, "submission_id": str(uuid7()), "answers": ANSWERS}
    for _ in range(2):
        answer = await profiles.post("/v1/forms/sign-up/interviews", json=asked)
        assert answer.status_code == 201, answer.text
    assert (answer.json()["channel"], answer.json()["received_by"]) == ("interview", "tester")
    path = f"/v1/customers/{customer}"
    after = (await profiles.get(path)).json()
    assert (after["name"], after["version"]) == ("Zoë Quinn", 2)
    newest = (await profiles.get(f"{path}/history")).json()["items"][0]
    assert (newest["channel"], newest["source"]) == ("interview", "form.sign-up")
    assert (await profiles.get(f"{path}/consents")).json()["items"][0]["state"] == "granted"


async def test_staff_without_the_scope_see_no_contact_points(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, client: ClientFactory
) -> None:
    await define(profiles)
    await submit(everybody, ANSWERS)
    unscoped = client("profiles", Role.AGENT, pii=False)
    [found] = await submissions(unscoped)
    assert found["answers"]["phone"] == "+86138****5678"
    assert found["answers"]["email"] == "z***@example.com"
    assert found["answers"]["name"] == "Zoë Quinn"


async def test_who_is_erased_leaves_no_submission_behind(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work, client: ClientFactory
) -> None:
    await define(profiles)
    await define(profiles, "survey", fields=[SIGN_UP["fields"][1], SIGN_UP["fields"][7]])
    answered = {"phone": "13812345678", "why": "so"}
    await submit(everybody, answered, "survey")
    await work()
    await submit(everybody, {"name": "Zoë", "phone": "13812345678"})
    await work()
    await submit(everybody, answered, "survey")
    [found] = await submissions(profiles)
    admin = client("profiles", Role.ADMIN)
    erased = await admin.post("/v1/privacy/erasures", json={"customer_id": found["customer_id"]})
    assert erased.status_code in (200, 201, 202), erased.text
    await work()
    assert await submissions(profiles) == await submissions(profiles, "survey") == []
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 0


async def test_channels_are_reported_with_sources_and_forms(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work
) -> None:
    await define(profiles)
    await submit(everybody, ANSWERS)
    await submit(everybody, {"name": "Robot"}, homepage="x")
    await work()
    await profiles.post("/v1/customers", json={"name": "Ann", "source": "till", "channel": "staff"})
    report = (await profiles.get("/v1/reports/channels?from=2026-03-02&to=2026-03-03")).json()
    assert report["channels"] == [
        {"channel": "registration", "source": "form.sign-up", "created": 1, "changed": 0},
        {"channel": "staff", "source": "till", "created": 1, "changed": 0},
    ]
    assert report["forms"] == [
        {
            "form_key": "sign-up",
            "channel": "registration",
            "submissions": 1,
            "states": {"applied": 1, "trapped": 1},
        }
    ]
    assert (await profiles.get("/v1/reports/channels?from=2026-03-03&to=2026-03-03")).status_code == 422


@pytest.mark.usefixtures("committed")
async def test_submissions_that_race_make_one_customer(
    profiles: httpx2.AsyncClient, everybody: httpx2.AsyncClient, work: Work, clock: FrozenClock
) -> None:
    await define(profiles)
    chosen = str(uuid7())
    sent = [submit(everybody, ANSWERS, submission_id=chosen) for _ in range(5)]
    sent += [submit(everybody, ANSWERS) for _ in range(5)]
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {202}
    for _ in range(8):
        await asyncio.gather(work(), work(), work())
        clock.advance(timedelta(seconds=1))
    found = await submissions(profiles)
    assert len(found) == 6
    assert {each["state"] for each in found} == {"applied"}
    assert len({each["customer_id"] for each in found}) == 1
    assert (await profiles.get("/v1/customers/totals")).json()["count"] == 1

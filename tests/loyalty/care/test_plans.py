"""Plans and texts as data: what they may name, previews and dry runs."""

from tests.loyalty.care.conftest import BIRTHDAY, Care, person

from crm_shared.ids import uuid7


async def test_a_dry_run_says_who_when_and_why_not(care: Care) -> None:
    reached, silent = uuid7(), uuid7()
    await care.receive(person(reached), person(silent, contact_points=[]), person(uuid7(), birth_date=None))
    await care.write()
    found = await care.dry_run("2026-03-03")
    assert found.keys() == {str(reached), str(silent)}
    assert (found[str(reached)]["outcome"], found[str(reached)]["at"]) == ("act", "2026-03-03T01:00:00Z")
    assert (found[str(silent)]["outcome"], found[str(silent)]["reason"]) == ("skip", "no_address")
    assert await care.occasions() == []


async def test_a_plan_names_only_what_there_is(care: Care) -> None:
    new = {"If-None-Match": "*"}
    answer = await care.loyalty.put("/v1/care/plans/birthday", json=BIRTHDAY, headers=new)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/action/message/template"
    wrong = {"default_language": "en", "texts": [{"language": "en", "channel": "sms", "text": "{{ nmae }}"}]}
    answer = await care.loyalty.put("/v1/care/templates/birthday", json=wrong, headers=new)
    assert answer.status_code == 422
    assert "nmae" in answer.json()["errors"][0]["message"]


async def test_a_preview_is_in_the_language_asked_for_or_the_nearest(care: Care) -> None:
    await care.write()
    asked = {"language": "es-MX", "channel": "email", "values": {"name": "<Ana>"}}
    answer = (await care.loyalty.post("/v1/care/templates/birthday/preview", json=asked)).json()
    assert (answer["language"], answer["subject"]) == ("es", "¡Felicidades, <Ana>!")
    assert answer["html"].startswith("<p>&lt;Ana&gt;</p>")
    answer = (
        await care.loyalty.post("/v1/care/templates/birthday/preview", json=asked | {"language": "fr"})
    ).json()
    assert answer["language"] == "en"

"""What profiles knows of a person."""

from tests.api.population.teller import Person, Teller

SPOKEN_AT = "2026-02-27T12:00:00Z"


async def become_known(teller: Teller, person: Person) -> None:
    size = f"size_{person.number}"
    await teller.put(f"/v1/customer-attributes/{size}", {"type": "string", "label": "Shirt size"})
    contacts = [{"kind": "email", "value": person.email}, {"kind": "phone", "value": person.phone}]
    customer = await teller.post("/v1/customers", {"name": person.name, "contact_points": contacts})
    person.ids |= {
        "customer_id": customer["id"],
        "attribute_key": size,
        "source": "shop",
        "external_id": customer["id"],
        "kind": "email",
        "value": "nobody@canary.example",
        "tag": "newsletter",
        "topic": "music",
        "purpose": "marketing",
        "channel": "email",
    }


async def be_active(teller: Teller, person: Person) -> None:
    """Somebody who has bought and called, of whom there is a note, and to whom we have written."""
    theirs = {"customer_id": str(person.id)}
    purchase = await teller.post(
        "/v1/purchases",
        theirs
        | {
            "source": "shop",
            "external_id": str(person.id),
            "occurred_at": SPOKEN_AT,
            "currency": "USD",
            "lines": [{"quantity": 1, "total": {"amount": 100_000, "currency": "USD"}}],
        },
    )
    call = {"channel": "call", "direction": "inbound", "occurred_at": SPOKEN_AT}
    interaction = await teller.post("/v1/interactions", theirs | call)
    note = await teller.post(f"/v1/customers/{person.id}/notes", {"text": "Likes jazz"})
    mail = {"source": "mailer", "external_id": str(person.id), "purpose": "greeting", "channel": "email"}
    message = await teller.post("/v1/messages", theirs | mail | {"sent_at": SPOKEN_AT})
    asked_for = f"/v1/customers/{person.id}/unsubscribe-link?purpose=greeting&channel=email"
    link = await teller.get(asked_for)
    person.ids |= {
        "purchase_id": purchase["id"],
        "interaction_id": interaction["id"],
        "note_id": note["id"],
        "message_id": message["id"],
        "token": link["path"].rpartition("/")[2],
    }


async def fill_in_a_form(teller: Teller, person: Person) -> None:
    key = f"ask-{person.number}"
    field = {
        "key": "email",
        "type": "email",
        "label": {"en": "E-mail"},
        "target": {"kind": "contact_point", "contact": "email"},
    }
    says = {"title": {"en": "Ask us"}, "thanks": {"en": "Thank you"}}
    await teller.put(f"/v1/forms/{key}", says | {"channel": "form", "difficulty": 0, "fields": [field]})
    submission = await teller.post(f"/v1/forms/{key}/submissions", {"answers": {"email": person.email}})
    person.ids |= {"form_key": key, "submission_id": submission["submission_id"]}


async def have_a_friend(teller: Teller, person: Person) -> str:
    """The friend's id."""
    friend = await teller.post("/v1/customers", {"name": f"A friend of {person.name}"})
    return str(friend["id"])

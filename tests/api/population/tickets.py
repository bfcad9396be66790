"""What a person has asked and complained of."""

from tests.api.population.teller import Person, Teller


async def ask(teller: Teller, person: Person) -> None:
    question = {"customer_id": str(person.id), "kind": "complaint", "title": "Where is it?"}
    ticket = await teller.post("/v1/tickets", question)
    person.ids |= {"ticket_id": ticket["id"], "calendar_code": "US"}


async def be_right(teller: Teller, person: Person) -> None:
    """A complaint of theirs is upheld."""
    wrong = {"kind": "complaint", "severity": "high", "title": "It is broken"}
    complaint = await teller.post("/v1/tickets", wrong | {"customer_id": str(person.id)})
    right = {"verdict": "upheld", "cause": "Packed badly"}
    await teller.post(f"/v1/tickets/{complaint['id']}/judge", right)

"""People of whom every service knows something."""

from tests.api.population import loyalty, profiles, tickets
from tests.api.population.teller import Person, Teller


async def populate(teller: Teller, name: str, number: int) -> Person:
    """A customer with a value for every path parameter of the API."""
    person = Person(name, number)
    await profiles.become_known(teller, person)
    await profiles.be_active(teller, person)
    await profiles.fill_in_a_form(teller, person)
    friend = await profiles.have_a_friend(teller, person)
    await teller.deliver("profiles", "segmentation", "tickets", "loyalty")

    await tickets.ask(teller, person)
    await loyalty.have_rules(teller, person)
    await loyalty.have_points(teller, person)
    await loyalty.order_a_reward(teller, person)
    await loyalty.use_a_coupon(teller, person)
    await loyalty.ask_the_price(teller, person)
    await loyalty.do_something(teller, person)
    await loyalty.bring_a_friend(teller, person, friend)
    await loyalty.share_points(teller, person, friend)
    await loyalty.be_invited(teller, person)
    await loyalty.be_cared_for(teller, person)

    await tickets.be_right(teller, person)
    await teller.deliver("tickets", "loyalty")
    await loyalty.be_compensated(teller, person)
    return person

"""Events through a real broker: each once, in order, whatever the workers and the database go through."""

from random import Random

from crm_shared.ids import uuid7

from .conftest import ServiceFactory, in_order, running, until


async def test_two_competing_workers_give_every_event_once_and_in_order(service: ServiceFactory) -> None:
    source, target = await service(), await service()
    customers = [uuid7() for _ in range(40)]
    random = Random(7)

    async with running(
        source.relay().run, source.relay().run, target.consumer(source).run, target.consumer(source).run
    ):
        for _ in range(60):
            await source.write(random.choices(customers, k=25))
        await until(in_order(target, source))
    assert await source.unsent() == 0

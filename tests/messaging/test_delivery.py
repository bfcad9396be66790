"""Events through a real broker: each once, in order, whatever the workers and the database go through."""

import asyncio
from random import Random

from aiokafka import AIOKafkaProducer
from sqlalchemy import func, select, text

from crm_shared import dead_letters
from crm_shared.dead_letters import DeadLetter
from crm_shared.ids import uuid7

from .conftest import Service, ServiceFactory, in_order, running, until


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


async def test_one_poison_among_many_stops_nothing_and_is_handled_after_the_repair(
    service: ServiceFactory,
) -> None:
    source, target = await service(), await service()
    customers = [uuid7() for _ in range(30)]
    poisoned = customers[0]
    async with running(source.relay().run, target.consumer(source).run):
        await source.write(customers * 3)
        await source.write(customers, bad={0})
        await source.write(customers * 3)

        async def all_but_the_poisoned() -> bool:
            expected = {customer: list(range(1, 8)) for customer in customers} | {poisoned: [1, 2, 3]}
            return await target.effects() == expected

        await until(all_but_the_poisoned)
    async with target.sessions.begin() as session:
        letters = list(await session.scalars(select(DeadLetter).order_by(DeadLetter.seq)))
        assert [letter.reason for letter in letters] == ["failed", *["key-parked"] * 3]
        await dead_letters.redrive(session, letters[0].id)
    target.forgiving = True
    handling = target.handling(source)
    while await handling.redrive():
        pass
    await until(in_order(target, source))


async def test_connections_to_the_database_may_die_at_any_moment(service: ServiceFactory) -> None:
    source, target = await service(), await service()
    customers = [uuid7() for _ in range(20)]
    random = Random(23)
    async with running(source.relay().run, source.relay().run, target.consumer(source).run):
        for _ in range(12):
            await source.write(random.choices(customers, k=50))
            await asyncio.sleep(random.random() / 2)
            for database in (source, target):
                await cut_connections(database)
        await until(in_order(target, source))


async def cut_connections(service: Service) -> None:
    """End every connection to the database but our own, as a restart would."""
    await service.engine.dispose()
    async with service.engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


async def test_records_of_strangers_disturb_nothing(service: ServiceFactory) -> None:
    source, target = await service(), await service()
    customers = [uuid7() for _ in range(10)]
    async with running(source.relay().run, target.consumer(source).run):
        await source.write(customers)
        await until(in_order(target, source))
        stranger = AIOKafkaProducer(bootstrap_servers=source.settings.kafka_bootstrap_servers)
        await stranger.start()
        for key in customers:
            await stranger.send_and_wait(source.note.topic(), b"\x00 not an event", key=str(key).encode())
        await stranger.stop()
        await source.write(customers)
        await until(in_order(target, source))

        async def parked() -> bool:
            async with target.sessions() as session:
                return await session.scalar(select(func.count()).select_from(DeadLetter)) == len(customers)

        await until(parked)

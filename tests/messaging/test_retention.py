"""When a broker forgets: what was on a topic is gone when its time is up, what it stood for likewise."""

import asyncio
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from crm_shared.ids import uuid7
from crm_shared.messaging import kafka, topics
from crm_shared.messaging.envelope import Message
from crm_shared.messaging.kafka import PARTITIONS
from crm_shared.messaging.topics import Topic
from crm_shared.settings import ServiceSettings

from .conftest import APACHE, ServiceFactory, until

SECOND = timedelta(seconds=1)


@pytest.mark.timeout(240)
@pytest.mark.skipif(not APACHE, reason="the embedded broker deletes and compacts in its own way")
async def test_an_erased_customers_records_leave_their_topics_when_the_receipt_says(
    service: ServiceFactory,
) -> None:
    """With a second for a day: events go by age, states by the second tombstone, which closes a segment."""
    settings = (await service()).settings
    short = settings.model_copy(
        update={"topic_retention_days": SECOND / timedelta(days=1), "topic_segment_seconds": 1}
    )
    events, states = Topic(f"{settings.service}.events"), Topic(f"{settings.service}.state", compacted=True)
    async with topics.admin(short) as admin:
        await admin.ensure([events, states])
        cluster_id = await admin.cluster_id()
    customer = str(uuid7()).encode()
    state = Message(states.name, customer, b'{"name": "canary"}', [])
    tombstone = state._replace(value=None)
    async with kafka.producer(short, cluster_id) as producer:
        told = [state._replace(topic=events.name), state, tombstone]
        assert await producer.send(told) == [True, True, True]
        assert await canaries(settings, events) + await canaries(settings, states) == 2
        await asyncio.sleep(2)
        assert await producer.send([tombstone]) == [True]

        async def forgotten() -> bool:
            return await canaries(settings, events) + await canaries(settings, states) == 0

        await until(forgotten, within=180)


async def canaries(settings: ServiceSettings, topic: Topic) -> int:
    """How many records of the topic say something."""
    client = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
    )
    await client.start()
    try:
        client.assign([TopicPartition(topic.name, partition) for partition in range(PARTITIONS)])
        total = 0
        while poll := await client.getmany(timeout_ms=1000):
            total += sum(b"canary" in (record.value or b"") for part in poll.values() for record in part)
        return total
    finally:
        await client.stop()

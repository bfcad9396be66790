"""Topics are created by code in one shape; what has another is refused, and replaced only on purpose."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from crm_shared.messaging import topics
from crm_shared.messaging.kafka import PARTITIONS
from crm_shared.messaging.topics import Topic, WrongTopics

from .conftest import ServiceFactory


async def test_missing_topics_are_created_once_and_looking_creates_none(service: ServiceFactory) -> None:
    one = await service()
    wanted = [Topic(one.note.topic()), Topic(f"{one.settings.service}.state", compacted=True)]
    names = [topic.name for topic in wanted]
    async with topics.admin(one.settings) as admin:
        assert await admin.partitions(names) == {}
        await admin.ensure(wanted)
        await admin.ensure(wanted)
        assert await admin.partitions(names) == dict.fromkeys(names, PARTITIONS)


async def test_a_topic_of_another_shape_is_refused_and_replaced_only_on_purpose(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await service()
    topic = Topic(one.note.topic())
    async with topics.admin(one.settings) as admin:
        with monkeypatch.context() as other:
            other.setattr(topics, "PARTITIONS", 4)
            await admin.ensure([topic])
        with pytest.raises(WrongTopics, match=f"{topic.name} has 4 partitions instead of 12"):
            await admin.ensure([topic])
        await admin.ensure([topic], replace=True)
        assert await admin.partitions([topic.name]) == {topic.name: PARTITIONS}


async def test_a_quiet_topic_too_is_rid_in_time_of_what_is_to_go(service: ServiceFactory) -> None:
    one = await service()
    events, state = Topic(one.note.topic()), Topic(f"{one.settings.service}.state", compacted=True)
    async with topics.admin(one.settings) as admin:
        await admin.ensure([events, state])
    client = AIOKafkaAdminClient(bootstrap_servers=one.settings.kafka_bootstrap_servers)
    await client.start()
    try:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in (events, state)]
        [answer] = await client.describe_configs(wanted)
    finally:
        await client.close()
    found = {name: {entry[0]: entry[1] for entry in entries} for *_, name, entries in answer.resources}
    day = 24 * 60 * 60 * 1000
    assert found[events.name].items() >= {
        ("cleanup.policy", "delete"),
        ("segment.ms", str(day)),
        ("retention.ms", str(7 * day)),
    }
    assert found[state.name].items() >= {
        ("cleanup.policy", "compact"),
        ("segment.ms", str(day)),
        ("max.compaction.lag.ms", str(day)),
    }

"""Topics: created by code in the one shape that order relies on, and verified before any client starts."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteTopicsRequest
from aiokafka.protocol.api import Response
from aiokafka.protocol.metadata import MetadataRequest

from crm_shared.contracts.base import Event
from crm_shared.messaging.kafka import (
    PARTITIONS,
    REQUEST_TIMEOUT,
    BrokerUnavailable,
    ClusterGuard,
    as_unavailable,
    connection_options,
)
from crm_shared.settings import ServiceSettings

log = logging.getLogger(__name__)

_VISIBLE_WITHIN = 10.0


class WrongTopics(Exception):
    """A topic has not the shape that order relies on; only its owner, or an operator, may put that right."""


class Topic(NamedTuple):
    """A topic of ours; the compacted kind keeps the last record of each key."""

    name: str
    compacted: bool = False


def topics_of(events: Iterable[type[Event]]) -> list[Topic]:
    """Every topic that these events are sent to."""
    found = {Topic(event.topic()) for event in events}
    found |= {Topic(event.state_topic, compacted=True) for event in events if event.state_topic}
    return sorted(found)


class Admin:
    """Looks at a cluster and makes its topics; never has the broker create one in its own way."""

    def __init__(self, client: AIOKafkaClient, guard: ClusterGuard, settings: ServiceSettings) -> None:
        self._client = client
        self._guard = guard
        self._settings = settings

    async def cluster_id(self) -> str:
        return await self._guard.check()

    async def partitions(self, names: Collection[str]) -> dict[str, int]:
        """How many partitions each topic has; one that is not there, or not yet ready, is left out."""
        node = self._client.get_random_node()
        answer = await self._client.send(node, MetadataRequest(list(names), allow_auto_topic_creation=False))
        return {topic[1]: len(topic[3]) for topic in answer.topics if topic[0] == 0}

    async def ensure(self, topics: Iterable[Topic], *, replace: bool = False) -> None:
        """Create what is missing and verify the rest; raises WrongTopics.

        With `replace`, wrong-shaped topics are deleted and made anew: only for the owner, and only after
        their contents were lost anyway.
        """
        wanted = {topic.name: topic for topic in topics}
        found = await self.partitions(wanted)
        wrong = {name: count for name, count in found.items() if count != PARTITIONS}
        if wrong and replace:
            await self._delete(wrong)
        elif wrong:
            raise WrongTopics(_in_words(wrong))
        if missing := [topic for name, topic in wanted.items() if name not in found or name in wrong]:
            await self._create(missing)

    async def _create(self, topics: Sequence[Topic]) -> None:
        replicas = self._settings.kafka_replication_factor
        requested: list[tuple[object, ...]] = [
            (topic.name, PARTITIONS, replicas, [], list(self._config(topic).items())) for topic in topics
        ]
        answer = await self._controller(CreateTopicsRequest(requested, int(REQUEST_TIMEOUT * 1000), False))
        for name, code, *_ in answer.topic_errors:
            # Somebody else may have been quicker; whether in the right shape is verified below.
            if for_code(code) not in (NoError, TopicAlreadyExistsError):
                raise BrokerUnavailable(f"cannot create {name}: {for_code(code).__name__}")
        names = [topic.name for topic in topics]
        found = await self._until(names, present=True)
        if wrong := {name: count for name, count in found.items() if count != PARTITIONS}:
            raise WrongTopics(_in_words(wrong))
        log.info("topics created", extra={"topics": names})

    async def _delete(self, wrong: Mapping[str, int]) -> None:
        log.warning("deleting topics of the wrong shape", extra={"partitions": dict(wrong)})
        answer = await self._controller(DeleteTopicsRequest(list(wrong), int(REQUEST_TIMEOUT * 1000)))
        for name, code in answer.topic_error_codes:
            if for_code(code) not in (NoError, UnknownTopicOrPartitionError):
                raise BrokerUnavailable(f"cannot delete {name}: {for_code(code).__name__}")
        await self._until(list(wrong), present=False)

    async def _until(self, names: Sequence[str], *, present: bool) -> dict[str, int]:
        """Wait until the broker shows what it has acknowledged."""
        async with asyncio.timeout(_VISIBLE_WITHIN):
            while True:
                found = await self.partitions(names)
                if len(found) == (len(names) if present else 0):
                    return found
                await asyncio.sleep(0.05)

    async def _controller(self, request: CreateTopicsRequest | DeleteTopicsRequest) -> Response:
        await self._client.force_metadata_update()
        controller = self._client.cluster.controller
        return await self._client.send(
            controller.nodeId if controller else self._client.get_random_node(), request
        )

    def _config(self, topic: Topic) -> dict[str, str]:
        segment = _milliseconds(self._settings.topic_segment)
        if topic.compacted:
            return {"segment.ms": segment, "cleanup.policy": "compact", "max.compaction.lag.ms": segment}
        retention = _milliseconds(timedelta(days=self._settings.topic_retention_days))
        return {"segment.ms": segment, "cleanup.policy": "delete", "retention.ms": retention}


@contextlib.asynccontextmanager
async def admin(settings: ServiceSettings, cluster_id: str | None = None) -> AsyncIterator[Admin]:
    """A look at the cluster: whichever it is, or that one. Raises ClusterChanged and BrokerUnavailable."""
    client = AIOKafkaClient(**connection_options(settings))
    guard = ClusterGuard(client, cluster_id)
    try:
        with as_unavailable():
            await client.bootstrap()
            await guard.check()
            yield Admin(client, guard, settings)
    finally:
        await client.close()


def _milliseconds(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))


def _in_words(wrong: Mapping[str, int]) -> str:
    return "; ".join(
        f"{name} has {count} partitions instead of {PARTITIONS}" for name, count in sorted(wrong.items())
    )

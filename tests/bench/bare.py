"""The ceiling of messaging: aiokafka alone, no outbox, no inbox, nothing decoded; this process consumes."""

import os
from collections.abc import Sequence

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from tests.bench.arrivals import Recorder

from crm_shared.messaging.envelope import Message
from crm_shared.messaging.kafka import partition_of

TOPIC = "bench.bare"
ARRIVALS, SERVERS, WAIT = "BENCH_ARRIVALS", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_FETCH_MAX_WAIT_MS"
"""The variables by which it is told where to note arrivals, which broker, and how patiently to fetch."""


async def produce(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Send all, batched by the client, and wait until the broker has them."""
    for message in messages:
        await put(producer, message)
    await producer.flush()


async def put(producer: AIOKafkaProducer, message: Message) -> None:
    """Hand it to the client, which sends it soon."""
    partition = partition_of(message.key)
    await producer.send(TOPIC, message.value, message.key, partition=partition, headers=message.headers)


async def _consume() -> None:
    recorder = Recorder(os.environ[ARRIVALS])
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ[SERVERS],
        group_id="bench",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=int(os.environ[WAIT]),
    )
    await consumer.start()
    while True:
        poll = await consumer.getmany(timeout_ms=1000, max_records=500)
        if poll:
            await consumer.commit({place: records[-1].offset + 1 for place, records in poll.items()})
            recorder.note(_number(record) for records in poll.values() for record in records)


def _number(record: ConsumerRecord) -> int:
    return int(next(value for name, value in record.headers if name == "ce_sequence"))


if __name__ == "__main__":
    uvloop.run(_consume())

"""The embedded broker: a new, empty cluster at each start."""

from collections.abc import Callable

from aiokafka.admin import AIOKafkaAdminClient

from crm_local.kafka import Kafka
from crm_local.ports import free_port


async def _cluster_id(broker: Kafka) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def test_a_broker_that_was_killed_comes_back_as_another_cluster() -> None:
    broker = Kafka(free_port())
    broker.start()
    before = await _cluster_id(broker)

    broker.kill()
    broker.start()

    assert await _cluster_id(broker) != before
    broker.stop()


def test_it_ends_with_the_program_that_started_it(outlived_by_none: Callable[[str], None]) -> None:
    outlived_by_none(f"""
from crm_local.leash import Child
from crm_local.kafka import Kafka
print(Child(Kafka({free_port()}).command(), Path("/dev/null")).pid)
""")

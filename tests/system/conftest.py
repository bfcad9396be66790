"""One whole system for all system tests: real processes, a real broker, the demo's data."""

import os
from collections.abc import Iterator

import pytest
from tests.system.demo import run_demo

from crm_local.apache_kafka import ApacheKafka
from crm_local.ports import free_block
from crm_local.system import System

APACHE = os.environ.get("CRM_TEST_KAFKA") == "apache"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka | None]:
    """Apache Kafka where CRM_TEST_KAFKA asks for it; otherwise the system brings its embedded broker."""
    if not APACHE:
        yield None
        return
    kafka = ApacheKafka(tmp_path_factory.mktemp("kafka"), free_block())
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, broker: ApacheKafka | None) -> Iterator[System]:
    """A running system with the demo told once."""
    with System.throwaway(tmp_path_factory.mktemp("system"), broker=broker).start() as started:
        run_demo(started)
        yield started

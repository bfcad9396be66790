"""One whole system for all system tests: real processes, a real broker, the demo's data."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

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


def run_demo(system: System, *options: str) -> str:
    """Run the demo as a user would; what it printed. It fails when its reconciliation does."""
    demo = start_demo(system, *options)
    output, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, output
    return output


def start_demo(system: System, *options: str) -> subprocess.Popen[str]:
    """The demo in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "crm_local", "demo", *options],
        env={**os.environ, "CRM_HOME": str(system.home.folder), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

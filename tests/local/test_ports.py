"""Ports: chosen by name or as a block, and a refusal says what to do."""

import socket
import subprocess
import sys

import pytest

from crm_local.ports import DEFAULTS, PortRefused, chosen, free_block, free_port, refusal, taken


def test_without_a_word_the_defaults_hold() -> None:
    assert chosen({}) == dict(DEFAULTS)


def test_one_variable_moves_all_ports_and_another_one_of_them() -> None:
    ports = chosen({"CRM_PORT_BASE": "20000", "CRM_PORT_LOYALTY_WORKER": "30000"})

    assert ports["loyalty-worker"] == 30_000
    del ports["loyalty-worker"]
    assert set(ports.values()) <= set(range(20_000, 20_000 + len(DEFAULTS)))
    assert len(set(ports.values())) == len(ports)


@pytest.mark.parametrize("text", ["http", "-1", "80", "70000", "8080.0"])
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(PortRefused, match="CRM_PORT_GATEWAY"):
        chosen({"CRM_PORT_GATEWAY": text})


def test_two_processes_on_one_port_are_refused() -> None:
    with pytest.raises(PortRefused, match="profiles and gateway would both listen on port 8080"):
        chosen({"CRM_PORT_PROFILES": "8080"})


def test_a_taken_port_is_noticed_and_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as somebody:
        port = somebody.getsockname()[1]

        assert taken({"gateway": port, "postgres": free_port()}) == {"gateway": port}
        assert "CRM_PORT_GATEWAY=" in str(refusal("gateway", port))
        assert str(port) in str(refusal("gateway", port))


def test_a_block_of_ports_is_free() -> None:
    base = free_block(5)

    assert taken({str(port): port for port in range(base, base + 5)}) == {}


def test_what_one_process_was_given_no_other_one_is() -> None:
    base = free_block()
    other = f"from crm_local import ports; print(ports._claim({base}))"
    answer = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=True)

    assert answer.stdout == "False\n"

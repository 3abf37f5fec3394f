from __future__ import annotations

import socket

import pytest

from hookseal.errors import BrokerError
from hookseal.kafka.broker.ports import HOST, PORT_TAKEN, free_ports, with_free_ports


def test_the_ports_are_free_and_different() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as listener:
            listener.bind((HOST, port))


def test_no_port_is_one_that_a_connection_could_take() -> None:
    assert max(free_ports(200)) < 32_768


def test_a_port_that_was_taken_meanwhile_is_replaced_once() -> None:
    tried: list[list[int]] = []

    def start(ports: list[int]) -> str:
        tried.append(ports)
        if len(tried) == 1:
            raise BrokerError(PORT_TAKEN, "Taken.")
        return "started"

    assert with_free_ports(2, start) == "started"
    assert tried[0] != tried[1]


@pytest.mark.parametrize(("code", "tries"), [(PORT_TAKEN, 2), ("broker_not_started", 1)])
def test_what_fails_otherwise_or_again_fails(code: str, tries: int) -> None:
    tried = []

    def start(ports: list[int]) -> None:
        tried.append(ports)
        raise BrokerError(code, "Failed.")

    with pytest.raises(BrokerError) as caught:
        with_free_ports(1, start)

    assert caught.value.code == code
    assert len(tried) == tries

from __future__ import annotations

from pathlib import Path

import pytest

from tests.brokers.apache_settings import Place, copies, server_properties


def settings_of(nodes: int, node_id: int = 1) -> dict[str, str]:
    places = [Place(number, 9000 + number, 9100 + number) for number in range(1, nodes + 1)]
    text = server_properties(places[node_id - 1], places, Path("/data"))
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize(
    ("nodes", "replicas", "in_sync"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2)]
)
def test_one_copy_may_be_lost_as_soon_as_there_are_two(
    nodes: int, replicas: int, in_sync: int
) -> None:
    settings = settings_of(nodes)

    assert copies(nodes) == replicas
    for name in ("default.", "offsets.topic.", "transaction.state.log."):
        assert settings[f"{name}replication.factor"] == str(replicas)
    for name in ("min.insync.replicas", "transaction.state.log.min.isr"):
        assert settings[name] == str(in_sync)


def test_every_node_knows_the_whole_quorum_and_listens_on_its_own_ports() -> None:
    second = settings_of(3, node_id=2)

    assert second["node.id"] == "2"
    assert second["controller.quorum.voters"] == settings_of(3)["controller.quorum.voters"]
    assert second["listeners"] == "CLIENT://127.0.0.1:9002,CONTROLLER://127.0.0.1:9102"


def test_topics_are_never_made_by_a_client_that_names_one() -> None:
    assert settings_of(1)["auto.create.topics.enable"] == "false"

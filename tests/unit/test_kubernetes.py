from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from hookseal.config import Settings
from hookseal.domain.addresses import blocked_range
from tests.compose import understood

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deploy" / "kubernetes"
PODS = ("StatefulSet", "Deployment", "Job")
KINDS = {
    "ConfigMap", "Deployment", "Job", "Namespace", "NetworkPolicy", "PodDisruptionBudget",
    "Secret", "Service", "ServiceAccount", "StatefulSet",
}  # fmt: skip


@cache
def rendered(folder: Path) -> list[dict[str, Any]]:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl")
    text = subprocess.run(
        [program, "kustomize", str(folder)], check=True, capture_output=True, timeout=60
    ).stdout
    return list(yaml.safe_load_all(text))


def built() -> list[dict[str, Any]]:
    """Return what `kubectl apply -k` would send, from the example overlay."""
    return rendered(FOLDER / "example")


@pytest.fixture
def with_component(tmp_path: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Render the example overlay together with an optional component."""

    def render(component: str) -> list[dict[str, Any]]:
        copy = tmp_path / "kubernetes"
        shutil.copytree(FOLDER, copy)
        file = copy / "example" / "kustomization.yaml"
        file.write_text(f"{file.read_text()}\ncomponents: [../components/{component}]\n")
        return rendered(copy / "example")

    return render


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [one for one in built() if one["kind"] in kinds]


def named(kind: str, component: str) -> dict[str, Any]:
    return next(one for one in of_kind(kind) if one["metadata"]["name"].endswith(component))


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = workload["spec"]["template"]["spec"]
    return spec


def test_it_is_what_it_should_be() -> None:
    assert {one["kind"] for one in built()} == KINDS
    assert all(one["metadata"]["name"] for one in built())


def test_every_object_fits_its_schema() -> None:
    for one in built():
        kubernetes_validate.validate(one, "1.32", strict=True)
    assert len(built()) >= 12


@pytest.mark.parametrize("kind", PODS)
def test_every_pod_may_do_as_little_as_possible(kind: str) -> None:
    for workload in of_kind(kind):
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= set(container["resources"])


def test_the_user_is_the_image_s() -> None:
    dockerfile = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)

    assert user is not None
    for workload in of_kind(*PODS):
        context = pod_of(workload)["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()


@pytest.mark.parametrize(
    ("kind", "component", "command"),
    [
        ("StatefulSet", "worker", "worker"),
        ("Deployment", "api", "api"),
        ("Job", "topics", "topics create"),
    ],
)
def test_every_container_runs_its_command(kind: str, component: str, command: str) -> None:
    (container,) = pod_of(named(kind, component))["containers"]

    assert understood(container["args"]) == f"hookseal {command}"


def test_every_setting_exists() -> None:
    known = {f"HOOKSEAL_{name.upper()}" for name in Settings.model_fields}
    used = {name for one in of_kind("ConfigMap") for name in one["data"]}
    used |= {name for one in of_kind("Secret") for name in one["data"]}
    used |= {
        variable["name"]
        for workload in of_kind(*PODS)
        for container in pod_of(workload)["containers"]
        for variable in container.get("env", ())
    }

    assert {"HOOKSEAL_MASTER_KEY", "HOOKSEAL_GROUP_INSTANCE_ID"} <= used
    assert used - known == set()


def test_the_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in of_kind("ConfigMap")[0]["data"].items():
        monkeypatch.setenv(name, value)

    assert Settings().ordering == "customer"


def test_workers_keep_their_names_and_get_the_time_that_they_take_to_stop() -> None:
    worker = named("StatefulSet", "worker")
    (container,) = pod_of(worker)["containers"]
    (instance,) = [one for one in container["env"] if one["name"] == "HOOKSEAL_GROUP_INSTANCE_ID"]

    assert instance["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    grace_s = pod_of(worker)["terminationGracePeriodSeconds"]
    assert grace_s >= Settings.model_fields["shutdown_grace_s"].default + 5


@pytest.mark.parametrize(("kind", "component"), [("StatefulSet", "worker"), ("Deployment", "api")])
def test_probes_ask_where_something_answers(kind: str, component: str) -> None:
    (container,) = pod_of(named(kind, component))["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}

    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["port"] in ports
    assert str(next(iter(ports.values()))) in {
        *container["args"], *(one.get("value", "") for one in container.get("env", ()))
    }  # fmt: skip


def test_every_budget_and_policy_is_about_pods_that_there_are() -> None:
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in of_kind(*PODS)]
    selectors = [one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy")]
    selectors += [one["spec"]["selector"] for one in of_kind("Service")]

    assert len(selectors) == 7
    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in pods)
    # Nobody goes out unfenced.
    for labels in pods:
        fenced = [one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy")]
        assert any(selector.items() <= labels.items() for selector in fenced)


def test_what_the_fence_leaves_out_is_what_workers_refuse() -> None:
    policy = named("NetworkPolicy", "worker")
    blocks = [
        to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule["to"] if "ipBlock" in to
    ]
    (four,) = [one for one in blocks if "." in one["cidr"]]

    for network in four["except"]:
        first = next(IPv4Network(network).hosts())
        assert blocked_range(first) is not None, network


def test_keda_is_optional_and_owns_the_number_of_workers(
    with_component: Callable[[str], list[dict[str, Any]]],
) -> None:
    objects = with_component("keda")
    (scaled,) = [one for one in objects if one["kind"] == "ScaledObject"]
    (worker,) = [one for one in objects if one["kind"] == "StatefulSet"]
    partitions = int(of_kind("ConfigMap")[0]["data"]["HOOKSEAL_PARTITIONS"])

    assert scaled["spec"]["maxReplicaCount"] <= partitions
    assert scaled["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "hookseal-worker"
    }  # fmt: skip
    assert "replicas" not in worker["spec"]
    assert named("StatefulSet", "worker")["spec"]["replicas"] == 3
    # KEDA resolves the name in its own namespace.
    brokers = scaled["spec"]["triggers"][0]["metadata"]["bootstrapServers"]
    assert brokers.partition(":")[0].split(".")[1:3] == ["hookseal", "svc"]


def test_monitors_are_optional_and_select_pods_and_services_with_that_port(
    with_component: Callable[[str], list[dict[str, Any]]],
) -> None:
    objects = with_component("prometheus-operator")
    (pods,) = [one for one in objects if one["kind"] == "PodMonitor"]
    (services,) = [one for one in objects if one["kind"] == "ServiceMonitor"]
    template = named("StatefulSet", "worker")["spec"]["template"]

    assert matches(pods["spec"]["selector"], template["metadata"]["labels"])
    assert pods["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"
    chosen = [
        one
        for one in of_kind("Service")
        if matches(services["spec"]["selector"], one["metadata"]["labels"])
    ]
    assert [one["metadata"]["name"] for one in chosen] == ["hookseal-api"]
    assert services["spec"]["endpoints"][0]["port"] in {
        port["name"] for port in chosen[0]["spec"]["ports"]
    }


@pytest.mark.parametrize("kind", PODS)
def test_no_service_of_the_namespace_changes_a_setting(kind: str) -> None:
    assert all(pod_of(one)["enableServiceLinks"] is False for one in of_kind(kind))


class Peer(NamedTuple):
    """The far end of a connection: a pod with labels in a namespace, or an address outside."""

    labels: dict[str, str]
    namespace: str = "hookseal"
    address: str = ""


WORKER, API, TOPICS = (
    {"app.kubernetes.io/name": "hookseal", "app.kubernetes.io/component": name}
    for name in ("worker", "api", "topics")
)
DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
KAFKA = Peer({"app.kubernetes.io/name": "kafka"})
COLLECTOR = Peer({"app.kubernetes.io/name": "opentelemetry-collector"}, "observability")
PROMETHEUS = Peer({"app.kubernetes.io/name": "prometheus"}, "observability")
INGRESS = Peer({"app.kubernetes.io/name": "ingress-nginx"}, "ingress")


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "this simulator knows only matchLabels"
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def is_peer(rule: dict[str, Any], peer: Peer) -> bool:
    """Return whether a `to` or `from` entry of a policy in `hookseal` admits the peer."""
    if "ipBlock" in rule:
        if not peer.address:
            # Network plugins match a pod by its labels, not by an address block.
            return False
        address = ip_address(peer.address)
        return address in ip_network(rule["ipBlock"]["cidr"]) and not any(
            address in ip_network(block) for block in rule["ipBlock"].get("except", ())
        )
    if peer.address:
        return False
    if "namespaceSelector" in rule:
        names = {"kubernetes.io/metadata.name": peer.namespace}
        in_namespace = matches(rule["namespaceSelector"], names)
    else:
        in_namespace = peer.namespace == "hookseal"
    return in_namespace and matches(rule.get("podSelector", {}), peer.labels)


def allowed(
    pod: dict[str, str], direction: str, peer: Peer, port: int | str, protocol: str = "TCP"
) -> bool:
    """Evaluate all NetworkPolicies as an enforcing network plugin does."""
    policies = [
        one["spec"]
        for one in of_kind("NetworkPolicy")
        if matches(one["spec"]["podSelector"], pod)
        and direction.capitalize() in one["spec"]["policyTypes"]
    ]
    side = {"egress": "to", "ingress": "from"}[direction]
    return not policies or any(
        (side not in rule or any(is_peer(entry, peer) for entry in rule[side]))
        and any(
            (one["port"], one.get("protocol", "TCP")) == (port, protocol)
            for one in rule.get("ports", ())
        )
        for policy in policies
        for rule in policy.get(direction, ())
    )


def outside(address: str) -> Peer:
    return Peer({}, "", address)


@pytest.mark.parametrize("pod", [WORKER, API, TOPICS], ids=["worker", "api", "topics"])
def test_every_pod_reaches_dns_and_kafka(pod: dict[str, str]) -> None:
    assert any(
        pod.items() <= one["spec"]["template"]["metadata"]["labels"].items()
        for one in of_kind(*PODS)
    )
    assert allowed(pod, "egress", DNS, 53, "UDP")
    assert allowed(pod, "egress", DNS, 53, "TCP")
    assert allowed(pod, "egress", KAFKA, 9092)
    assert not allowed(pod, "egress", KAFKA, 22)
    assert not allowed(pod, "egress", Peer({"k8s-app": "kube-dns"}, "other"), 53, "UDP")
    assert not allowed(pod, "egress", Peer({"app": "database"}), 5432)


def test_workers_and_api_reach_the_collector() -> None:
    assert allowed(WORKER, "egress", COLLECTOR, 4318)
    assert allowed(API, "egress", COLLECTOR, 4318)
    assert not allowed(TOPICS, "egress", COLLECTOR, 4318)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1"])
def test_only_workers_reach_the_internet(address: str) -> None:
    assert allowed(WORKER, "egress", outside(address), 443)
    assert allowed(WORKER, "egress", outside(address), 8443)
    assert not allowed(WORKER, "egress", outside(address), 80)
    assert not allowed(API, "egress", outside(address), 443)
    assert not allowed(TOPICS, "egress", outside(address), 443)


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "127.0.0.1",
     "224.0.0.1", "fd00::1", "fe80::1", "::1"],
)  # fmt: skip
def test_workers_do_not_reach_private_addresses(address: str) -> None:
    assert not allowed(WORKER, "egress", outside(address), 443)


def test_metrics_are_for_prometheus_and_the_api_is_for_all() -> None:
    assert allowed(WORKER, "ingress", PROMETHEUS, "metrics")
    assert not allowed(WORKER, "ingress", INGRESS, "metrics")
    assert allowed(API, "ingress", INGRESS, "http")
    assert allowed(API, "ingress", PROMETHEUS, "http")
    assert not allowed(TOPICS, "ingress", PROMETHEUS, "http")


def test_no_secret_is_in_the_repository() -> None:
    lines = (FOLDER / "example" / "hookseal.env").read_text().splitlines()

    assert all(line.partition("=")[2].startswith("replace-me") for line in lines)

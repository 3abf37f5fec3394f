from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from hookseal.config import Settings
from hookseal.domain.addresses import blocked_range
from tests.compose import understood

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "deploy" / "kubernetes"
PODS = ("StatefulSet", "Deployment", "Job")
KINDS = {
    "ConfigMap", "Deployment", "Job", "Namespace", "NetworkPolicy", "PodDisruptionBudget",
    "ScaledObject", "Secret", "Service", "ServiceAccount", "StatefulSet",
}  # fmt: skip


@cache
def built() -> list[dict[str, Any]]:
    """Return what `kubectl apply -k` would send, from the example overlay."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl")
    text = subprocess.run(
        [program, "kustomize", str(FOLDER / "example")],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    return list(yaml.safe_load_all(text))


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
    checked = [one for one in built() if one["kind"] != "ScaledObject"]

    for one in checked:
        kubernetes_validate.validate(one, "1.32", strict=True)
    assert len(checked) >= 12


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
    assert grace_s > Settings.model_fields["shutdown_grace_s"].default


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


def test_more_workers_than_partitions_are_never_asked_for() -> None:
    (scaled,) = of_kind("ScaledObject")
    partitions = int(of_kind("ConfigMap")[0]["data"]["HOOKSEAL_PARTITIONS"])

    assert scaled["spec"]["maxReplicaCount"] <= partitions
    assert scaled["spec"]["scaleTargetRef"] == {"kind": "StatefulSet", "name": "hookseal-worker"}


def test_no_secret_is_in_the_repository() -> None:
    lines = (FOLDER / "example" / "hookseal.env").read_text().splitlines()

    assert all(line.partition("=")[2].startswith("replace-me") for line in lines)

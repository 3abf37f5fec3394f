"""Reads the settings from the environment and reports every fault in it at once.

No message holds a value of a setting: it may be a secret, or hold one.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr, ValidationError

from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from pydantic_settings import BaseSettings

    _T = TypeVar("_T", bound=BaseSettings)

PREFIX = "HOOKSEAL_"
# Variables of the tests and benchmarks. A worker that they start inherits them.
DEVELOPMENT = frozenset(
    {
        "HOOKSEAL_BENCH_EVENTS",
        "HOOKSEAL_BENCH_RESULT",
        "HOOKSEAL_FUZZ_SECONDS",
        "HOOKSEAL_RENEW_SNAPSHOTS",
        "HOOKSEAL_TEST_BROKER",
        "HOOKSEAL_TEST_PICTURES",
    }
)
# Kubernetes sets these for each Service of the namespace, one named `hookseal-api` for instance.
_SERVICE_LINK = re.compile(r".+_(SERVICE_(HOST|PORT(_.+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
_NEAR = 0.75
_UNLISTED = "`hookseal settings` lists every setting."

_RANDOM = "Generate one with `openssl rand -base64 32`."
# An example for each setting whose default is empty, or no example of its form.
_EXAMPLES = {
    "kafka_bootstrap": "kafka-1:9092,kafka-2:9092",
    "kafka_tls_ca_file": "/etc/hookseal/ca.pem",
    "kafka_tls_cert_file": "/etc/hookseal/client.pem",
    "kafka_tls_key_file": "/etc/hookseal/client.key",
    "topic_prefix": "staging.",
    "group_instance_id": "worker-0",
    "queue_url": "redis://redis:6379/0",
    "api_public_hosts": "hooks.example.com",
    "api_url": "https://hooks.example.com",
    "tenant_max_events_per_s": "100",
    "retry_delays_s": "1,2,4,8",
    "egress_allow_cidrs": "127.0.0.0/8,::1/128",
    "egress_deny_cidrs": "203.0.113.0/24",
    "egress_allow_ports": "8080,9000-9100",
    "egress_client_cert_file": "/etc/hookseal/client.pem",
    "egress_client_key_file": "/etc/hookseal/client.key",
    "metrics_port": "9100",
    "otlp_endpoint": "http://collector:4318",
}
_GENERATED = {
    "master_key": _RANDOM,
    "master_key_previous": _RANDOM,
    "admin_key": "Generate one with `hookseal keys admin`.",
    "api_key_peppers": "Give `1:` and base64 of 32 bytes from `openssl rand -base64 32`.",
}


def read(settings: type[_T]) -> _T:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: `settings_invalid`, or `settings_unknown` if all values are valid. The
            message has every fault, invalid values first.
    """
    known = {variable(name) for name in settings.model_fields}
    unknown = [_unknown_fault(name, known) for name in unknown_names(os.environ, known)]
    try:
        found = settings()
    except ValidationError as error:
        faults = " ".join([*_faults(settings, error), *unknown])
        raise ConfigurationError("settings_invalid", faults) from None
    if unknown:
        raise ConfigurationError("settings_unknown", " ".join(unknown))
    return found


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def unknown_names(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Return the `HOOKSEAL_*` variables that are neither a setting nor set by Kubernetes."""
    return sorted(
        name
        for name, value in environment.items()
        if name.upper().startswith(PREFIX)
        and name.upper() not in known
        and name.upper() not in DEVELOPMENT
        and not _is_service_link(name.upper(), value)
    )


def example(settings: type[BaseSettings], name: str) -> str:
    """Return a sentence with a valid value of a setting, or with the command that makes one."""
    if name in _GENERATED:
        return _GENERATED[name]
    value = _EXAMPLES.get(name)
    if value is None:
        default = settings.model_fields[name].default
        if isinstance(default, SecretStr) or default in ("", None, ()):
            return ""
        value = str(default).lower() if isinstance(default, bool) else str(default)
    return f"Example: {variable(name)}={value}."


def usable_folder(folder: Path) -> None:
    """Create the folder of HOOKSEAL_DATA_DIR, or raise ConfigurationError: `data_dir_unusable`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "it is not writable"
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
    if reason:
        raise ConfigurationError(
            "data_dir_unusable",
            f"Cannot use the data folder: {reason}. Name a folder that this user can write, for "
            "example HOOKSEAL_DATA_DIR=/var/lib/hookseal.",
            field="HOOKSEAL_DATA_DIR",
        )


def _is_service_link(name: str, value: str) -> bool:
    return _SERVICE_LINK.fullmatch(name) is not None or (
        name.endswith("_PORT") and _SERVICE_ADDRESS.match(value) is not None
    )


def _unknown_fault(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name.upper(), sorted(known), n=1, cutoff=_NEAR)
    advice = f"Did you mean {near[0]}?" if near else _UNLISTED
    return f"{name}: no setting has this name. {advice}"


def _faults(settings: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    """Yield a sentence for each fault; faults of single settings first, then of combinations."""
    replaced: dict[str, Any] = {}
    while True:
        names = set()
        for fault in error.errors(include_input=False, include_url=False):
            text = _sentence(fault["msg"])
            if not fault["loc"]:
                # A default that replaced an invalid value causes faults of its own.
                if not any(variable(name) in text for name in replaced):
                    yield text
            elif (name := str(fault["loc"][0])) not in names:
                names.add(name)
                yield f"{variable(name)}: {text} {example(settings, name)}".rstrip()
        if not names:
            return
        # Settings are only compared with each other once each of them is valid.
        replaced |= {name: settings.model_fields[name].default for name in names}
        try:
            settings(**replaced)
        except ValidationError as next_error:
            error = next_error
        else:
            return


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").removesuffix(".")
    text = re.sub(r"^(Input|String|Value) should ", "must ", text).split(", unable to")[0]
    if text.startswith("must match pattern"):
        # A person cannot read the pattern.
        text = "must have the form of the example"
    return f"{text}."

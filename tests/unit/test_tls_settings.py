"""TLS files that cannot be used are named at the start, not taken for a broker that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from hookseal.config import load
from hookseal.errors import ConfigurationError
from tests.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "HOOKSEAL_KAFKA_TLS"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    authority = Authority()
    empty, encrypted = tmp_path / "empty.pem", tmp_path / "encrypted.pem"
    empty.write_bytes(b"")
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    return {
        "ca": authority.root_file(tmp_path / "ca.pem"),
        "client": authority.issue_file("worker", tmp_path / "client.pem"),
        "other": authority.issue_file("other", tmp_path / "other.pem"),
        "empty": empty,
        "encrypted": encrypted,
        "nowhere": tmp_path / "nowhere.pem",
    }


@pytest.mark.parametrize("names", [("client", None), ("client", "client")])
def test_a_client_certificate_that_fits_is_taken(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], names: tuple[str, str | None]
) -> None:
    for setting, name in zip(("CERT", "KEY"), names, strict=True):
        if name is not None:
            monkeypatch.setenv(f"HOOKSEAL_EGRESS_CLIENT_{setting}_FILE", str(files[name]))

    assert load().egress_tls() is not None


@pytest.mark.parametrize(
    ("names", "setting"),
    [
        (("nowhere", None), "CERT"),
        (("ca", None), "CERT"),
        (("client", "other"), "KEY"),
        (("client", "encrypted"), "KEY"),
        ((None, "client"), "CERT"),
    ],
    ids=str,
)
def test_any_other_client_certificate_is_named(
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, Path],
    names: tuple[str | None, str | None],
    setting: str,
) -> None:
    for part, name in zip(("CERT", "KEY"), names, strict=True):
        if name is not None:
            monkeypatch.setenv(f"HOOKSEAL_EGRESS_CLIENT_{part}_FILE", str(files[name]))

    with pytest.raises(ConfigurationError, match="settings_invalid") as refused:
        load()

    assert f"HOOKSEAL_EGRESS_CLIENT_{setting}_FILE" in refused.value.message


def given(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], **names: str) -> None:
    monkeypatch.setenv("HOOKSEAL_KAFKA_SECURITY_PROTOCOL", "SSL")
    for setting, name in names.items():
        monkeypatch.setenv(f"{PREFIX}_{setting.upper()}_FILE", str(files[name]))


@pytest.mark.parametrize(
    "names", [{}, {"ca": "ca"}, {"ca": "ca", "cert": "client", "key": "client"}]
)
def test_files_that_fit_are_taken(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], names: dict[str, str]
) -> None:
    given(monkeypatch, files, **names)

    assert load().cluster.has_tls


@pytest.mark.parametrize(
    ("names", "setting"),
    [
        ({"ca": "nowhere"}, "CA"),
        ({"ca": "empty"}, "CA"),
        ({"ca": "encrypted"}, "CA"),
        ({"cert": "nowhere", "key": "client"}, "CERT"),
        ({"cert": "client", "key": "nowhere"}, "KEY"),
        ({"cert": "client", "key": "other"}, "KEY"),
        ({"cert": "empty", "key": "client"}, "CERT"),
        ({"cert": "client", "key": "encrypted"}, "KEY"),
        ({"cert": "ca"}, "CERT"),
        ({"key": "client"}, "KEY"),
    ],
    ids=str,
)
def test_any_other_is_named(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, Path], names: dict[str, str], setting: str
) -> None:
    given(monkeypatch, files, **names)

    with pytest.raises(ConfigurationError, match="settings_invalid") as refused:
        load()

    assert f"{PREFIX}_{setting}_FILE" in refused.value.message

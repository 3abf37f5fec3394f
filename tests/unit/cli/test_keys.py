from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hookseal.seal.keys import parse_public_key
from hookseal_receiver import Webhook

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Run


@pytest.mark.parametrize("alg", ["rsa-4096", "rsa-3072", "rsa-2048", "p256", "x25519"])
def test_a_pair_is_made_of_which_a_tenant_can_register_the_public_key(
    run: Run, tmp_path: Path, alg: str
) -> None:
    file = tmp_path / "private.pem"

    result = run("keys", "generate", "--alg", alg, "--out", str(file))

    assert result.exit_code == 0
    public = parse_public_key(result.stdout)
    # The receiver and the sender name the key alike.
    webhook = Webhook(secrets=[f"whsec_{'A' * 44}"], keys=[file.read_bytes()])
    assert webhook.key_ids == (public.kid,)


def test_the_private_key_is_the_owners_alone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "private.pem"

    run("keys", "generate", "--alg", "x25519", "--out", str(file))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    load_pem_private_key(file.read_bytes(), password=None)


def test_the_private_key_is_not_printed(run: Run, tmp_path: Path) -> None:
    result = run("keys", "generate", "--alg", "x25519", "--out", str(tmp_path / "private.pem"))

    assert "PRIVATE KEY" not in result.output


def test_a_file_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    file.write_text("precious")

    result = run("keys", "generate", "--alg", "x25519", "--out", str(file))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"file_exists ({file}): ")
    assert file.read_text() == "precious"


def test_a_folder_that_is_not_there_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("keys", "generate", "--alg", "x25519", "--out", str(tmp_path / "none" / "key.pem"))

    assert result.exit_code == 2
    assert result.stderr.startswith("file_not_written")


def test_a_private_key_is_not_registered(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "private.pem"
    run("keys", "generate", "--alg", "x25519", "--out", str(file))

    result = run("tenants", "keys", "add", "acme", str(file))

    assert result.exit_code == 2
    assert result.stderr.startswith("private_key_submitted")
    assert "BEGIN" not in result.output

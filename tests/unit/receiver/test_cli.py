"""`hookseal-receiver`, as a tenant types it."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from hookseal.cli.app import app as sender_app
from hookseal.seal.keys import parse_public_key
from hookseal_receiver.cli.app import app
from tests.receiving import SECRET, a_request, a_webhook
from tests.sealed import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

PROGRAMS = {
    "hookseal-receiver listen": ("hookseal-receiver", "listen"),
    # The sender's own command is the same.
    "hookseal receive": ("hookseal", "receive"),
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


class TestKeygen:
    @pytest.mark.parametrize("alg", ["p256", "x25519", "rsa-2048"])
    def test_the_two_halves_belong_together(self, tmp_path: Path, alg: str) -> None:
        file = tmp_path / "private.pem"

        result = run("keygen", "--alg", alg, "--out", str(file))

        assert result.exit_code == 0
        public = parse_public_key(result.stdout)
        assert a_webhook(keys=[file.read_bytes()]).key_ids == (public.kid,)

    def test_the_private_key_is_its_owners_alone_and_not_printed(self, tmp_path: Path) -> None:
        file = tmp_path / "private.pem"

        result = run("keygen", "--out", str(file))

        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "PRIVATE KEY" not in result.output
        assert f"Private key: {file}" in result.stderr

    def test_a_file_is_never_overwritten(self, tmp_path: Path) -> None:
        file = tmp_path / "private.pem"
        file.write_text("precious")

        result = run("keygen", "--out", str(file))

        assert result.exit_code == 2
        assert result.stderr.startswith(f"file_exists ({file}): ")
        assert (file.read_text(), result.stdout) == ("precious", "")

    def test_a_folder_that_is_not_there_is_one_line(self, tmp_path: Path) -> None:
        result = run("keygen", "--out", str(tmp_path / "none" / "private.pem"))

        assert result.exit_code == 2
        assert result.stderr.startswith("file_not_written")


@pytest.fixture
def key(tmp_path: Path) -> str:
    file = tmp_path / "private.pem"
    file.write_bytes(vectors()["x25519"].private_key)
    return str(file)


class TestListenRefuses:
    def test_a_key_that_is_not_there(self) -> None:
        result = run("listen", "--key", "/nowhere/private.pem", "--secret", SECRET)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("file_not_read (/nowhere/private.pem): ")

    def test_a_file_that_is_no_key(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_bytes(b"x" * 70_000)
        (tmp_path / "text").write_bytes(b"x")

        large = run("listen", "--key", str(tmp_path / "key"), "--secret", SECRET)
        text = run("listen", "--key", str(tmp_path / "text"), "--secret", SECRET)

        assert (large.exit_code, text.exit_code) == (2, 2)
        assert large.stderr.startswith("file_too_large")
        assert text.stderr.startswith("key_format (keys[0]): ")

    def test_a_secret_that_is_none(self, key: str) -> None:
        result = run("listen", "--key", key, "--secret", "whsec_")

        assert result.exit_code == 2
        assert result.stderr.startswith("secret_invalid (secrets[0]): ")

    def test_the_senders_command_says_the_same(self, key: str) -> None:
        asked = ["receive", "--key", key, "--secret", "whsec_"]

        result = CliRunner().invoke(sender_app, asked)

        assert result.exit_code == 2
        assert result.stderr.startswith("secret_invalid (secrets[0]): ")


@pytest.fixture(params=[*PROGRAMS.values()], ids=[*PROGRAMS])
def listening(request: pytest.FixtureRequest, key: str) -> Iterator[subprocess.Popen[str]]:
    program, command = request.param
    with subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name(program)), command),
            *("--key", key, "--secret", SECRET, "--port", "0", "--endpoint-id", "ep_1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONUNBUFFERED": "1", "PATH": ""},
    ) as process:
        yield process
        process.kill()


def post(url: str, headers: dict[str, str], body: bytes) -> int:
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - our own process
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_events_are_printed_until_it_is_told_to_stop(listening: subprocess.Popen[str]) -> None:
    assert listening.stdout is not None
    ready = listening.stdout.readline()
    assert ready.startswith("Receiving at http://127.0.0.1:")
    url = ready.split()[2]
    headers, body = a_request()

    answers = [post(url, headers, body), post(url, headers, body), post(url, {}, body)]
    listening.send_signal(signal.SIGTERM)
    out, err = listening.communicate(timeout=30)

    assert (answers, listening.returncode, err) == ([200, 200, 400], 0, "")
    lines = [line.split(" ", 1)[1] for line in out.splitlines()]
    plaintext = a_webhook().open(headers, body).plaintext.decode()
    assert lines == [
        f"200 evt_1 {plaintext}",
        f"200 evt_1 (repeat) {plaintext}",
        "400 headers_invalid: The request could not be verified and decrypted.",
        "2 events, of which 1 were repeats. Refused 1 requests.",
    ]

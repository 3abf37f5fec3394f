from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from hookseal.cli.publish import LINE_MAX_BYTES, file_size, read_lines
from hookseal.errors import HooksealError


async def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(b"one\n\ntwo")

    assert [line async for line in read_lines(file)] == [b"one\n", b"\n", b"two"]
    assert file_size(file) == 8


async def test_a_pipe_does_not_hold_up_what_else_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin, open(writing, "wb", 0) as stdout:  # noqa: ASYNC230, PTH123
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": stdin}))
        lines = read_lines(Path("-"))
        first = asyncio.ensure_future(anext(lines))
        # Were the loop blocked by the read, this would never be written.
        await asyncio.sleep(0)
        stdout.write(b"one\ntw")
        assert await first == b"one\n"
        second = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        stdout.write(b"o\n")
        assert await second == b"two\n"
        stdout.close()
        assert [line async for line in lines] == []


@pytest.mark.parametrize("extra", [1, 100_000])
async def test_a_line_without_end_is_refused(tmp_path: Path, extra: int) -> None:
    file = tmp_path / "events"
    file.write_bytes(b"x" * (LINE_MAX_BYTES + extra))

    with pytest.raises(HooksealError) as caught:
        [line async for line in read_lines(file)]

    assert caught.value.code == "line_too_long"


async def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(HooksealError) as caught:
        [line async for line in read_lines(tmp_path / "none")]

    assert caught.value.code == "file_not_read"
    assert file_size(tmp_path / "none") is None

"""Kafka's four codecs, decompressed one bounded piece at a time.

gzip (RFC 1952), snappy in xerial's blocks or raw, LZ4 frames, zstd (RFC 8878). aiokafka
decompresses a batch at once, whatever its decompressed size is.
"""

from __future__ import annotations

import struct
import sys
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import cramjam
from lz4.frame import LZ4FrameDecompressor

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CODECS", "BatchTooLargeError", "Decompressor", "decompressor", "readable", "zstd"]

# Of one batch, over all of its records: some seconds of work.
_BATCH_MAX_BYTES: Final = 1024 * 1024 * 1024
# Snappy cannot be decompressed in pieces; a block grows to twenty times its size at most.
_BLOCK_MAX_BYTES: Final = 64 * 1024 * 1024
# Memory that a zstd decompressor keeps of what it returned. Level 22, the highest that Kafka allows
# (KIP-390), announces 128 MiB, but touches no more than the frame has.
_WINDOW_LOG_MAX: Final = 27
_WINDOW_KEPT_BYTES: Final = 32 * 1024 * 1024
_ZSTD_SINGLE_SEGMENT: Final = 0x20
_GZIP: Final = 31
_PIECE_BYTES: Final = 1024 * 1024
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_BLOCK: Final = struct.Struct(">i")


class BatchTooLargeError(Exception):
    """A batch decompresses to more than the limit."""


class Decompressor:
    """Decompresses a batch's records while they are read; `is_done` once all were returned."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.is_done = False
        self._pieces = pieces
        self._buffer = bytearray()
        self._total = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; fewer only at the end. Damaged bytes raise."""
        is_last = False
        while len(self._buffer) < size and not is_last:
            piece = next(self._pieces, None)
            is_last = piece is None
            self._buffer += piece or b""
            self._total += len(piece or b"")
            if self._total > _BATCH_MAX_BYTES:
                raise BatchTooLargeError(f"it decompresses to more than {_BATCH_MAX_BYTES:,} bytes")
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.is_done = is_last and not self._buffer
        return taken


def _frames(data: bytes, new_frame: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress one or more frames in a row; `new_frame` returns a decompressor as in `bz2`."""
    while data:
        frame = new_frame()
        while not frame.eof:
            piece = frame.decompress(data, _PIECE_BYTES)
            # `zlib` does not keep the rest of its input; the others do.
            data = getattr(frame, "unconsumed_tail", b"")
            if not piece and not frame.eof:
                raise EOFError("the compressed data end too early")
            yield piece
        data = frame.unused_data or b""


class _ZstdFrame:
    """`ZstdDecompressor` that uses at most 32 MiB for its window, whatever the frame announces."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
        )
        self._window = 0
        self._returned = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._frame, name)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._frame.decompress(data, max_length)
        if piece and not self._returned:
            self._window = _zstd_window_bytes(data)
        self._returned += len(piece)
        if self._returned > _WINDOW_KEPT_BYTES < self._window:
            raise BatchTooLargeError(
                f"its zstd window has {self._window:,} bytes, at most {_WINDOW_KEPT_BYTES:,} fit"
            )
        return piece


def _zstd_window_bytes(frame: bytes) -> int:
    """Return the window size that a frame's header announces (RFC 8878, section 3.1.1.1)."""
    descriptor, window = frame[4:6]
    if descriptor & _ZSTD_SINGLE_SEGMENT:
        return zstd.get_frame_info(frame).decompressed_size or 0
    base = 1 << (10 + (window >> 3))
    return base + (base >> 3) * (window & 7)


def _snappy_pieces(data: bytes) -> Iterator[bytes]:
    """Decompress blocks of xerial's stream format, or one raw block."""
    for block in _snappy_blocks(data):
        grown = cramjam.snappy.decompress_raw_len(block)
        if grown > _BLOCK_MAX_BYTES:
            raise BatchTooLargeError(
                f"a block decompresses to {grown:,} bytes, at most {_BLOCK_MAX_BYTES:,} fit"
            )
        yield bytes(cramjam.snappy.decompress_raw(block))


def _snappy_blocks(data: bytes) -> Iterator[bytes]:
    if not data.startswith(_XERIAL):
        yield data
        return
    at = _XERIAL_HEADER_BYTES
    while at < len(data):
        (size,) = _BLOCK.unpack_from(data, at)
        at += _BLOCK.size
        if not 0 < size <= len(data) - at:
            raise EOFError("a block ends too early")
        yield data[at : at + size]
        at += size


CODECS: Final[dict[int, tuple[str, Callable[[bytes], Iterator[bytes]]]]] = {
    1: ("gzip", partial(_frames, new_frame=partial(zlib.decompressobj, _GZIP))),
    2: ("snappy", _snappy_pieces),
    3: ("lz4", partial(_frames, new_frame=LZ4FrameDecompressor)),
    4: ("zstd", partial(_frames, new_frame=_ZstdFrame)),
}
"""Name and function of each codec, by its number in a batch's attributes (KIP-110)."""

# The text "codec", compressed by each codec.
_SAMPLES: Final = {
    1: "1f8b08000000000002034bce4f494d060029d11af805000000",
    2: "82534e41505059000000000100000001000000070510636f646563",
    3: "04224d18684005000000000000006105000080636f64656300000000",
    4: "28b52ffd2005290000636f646563",
}


def decompressor(codec: int, data: memoryview) -> Decompressor:
    """Return the decompressor of a batch's records; raise `ValueError` for an unknown codec."""
    if codec not in CODECS:
        raise ValueError(f"unknown codec {codec}")
    return Decompressor(CODECS[codec][1](bytes(data)))


def readable() -> dict[str, bool]:
    """Return by codec name whether this installation can decompress it."""
    return {name: _can_read(number) for number, (name, _) in CODECS.items()}


def _can_read(codec: int) -> bool:
    try:
        return decompressor(codec, memoryview(bytes.fromhex(_SAMPLES[codec]))).read(64) == b"codec"
    except Exception:  # noqa: BLE001 - whatever a broken installation raises
        return False

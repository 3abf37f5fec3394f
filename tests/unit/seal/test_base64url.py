from __future__ import annotations

import pytest

from hookseal.seal import base64url


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"", b""), (b"f", b"Zg"), (b"ab", b"YWI"), (b"foo", b"Zm9v"), (b"\xfb\xff", b"-_8")],
)
def test_encodes_without_padding_and_decodes_again(octets: bytes, text: bytes) -> None:
    assert base64url.encode(octets) == text
    assert base64url.decode(text.decode()) == octets


@pytest.mark.parametrize(
    "text", ["Zg==", "Zg=", "Z", "+/8", "Zh", "Zm9", "Zg\n", " Zg", "é", "\ud800"]
)
def test_refuses_every_other_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)

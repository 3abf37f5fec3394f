from __future__ import annotations

from aiohttp.http_writer import _serialize_headers
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from hookseal.domain.endpoint_headers import check_headers
from hookseal.errors import InvalidHeaderError

names = st.one_of(
    st.text(max_size=5),
    st.from_regex(r"[!-~]{1,8}", fullmatch=True),
    st.sampled_from(["Host", "Content-Length", "X-A", "x-a", "Authorization"]),
)
values = st.one_of(st.text(max_size=8), st.from_regex(r"[\t -~]{0,12}", fullmatch=True))


class TestCheckHeaders:
    @settings(deadline=None)
    @given(st.dictionaries(names, values, max_size=4))
    def test_what_passes_can_be_written_and_comes_out_as_given(
        self, headers: dict[str, str]
    ) -> None:
        try:
            checked = check_headers(headers)
        except InvalidHeaderError:
            return

        # A header that passes here and fails there would fail each attempt of each event.
        wire = _serialize_headers("POST / HTTP/1.1", CIMultiDict(checked)).decode("ascii")
        lines = wire.removesuffix("\r\n\r\n").split("\r\n")[1:]
        assert [tuple(line.split(": ", 1)) for line in lines] == list(checked.items())
        assert check_headers(checked) == checked

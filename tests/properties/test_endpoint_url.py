# ruff: noqa: RUF001 - lookalikes are what is tested
from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from urllib.parse import urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.provisional import domains
from yarl import URL

from hookseal.domain.addresses import blocked_range
from hookseal.domain.endpoint_url import URL_MAX, check_url
from hookseal.errors import InvalidUrlError

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# What parsers have disagreed on: separators, brackets, dots of other scripts, digits that
# map to digits, what is invisible, what grows.
HOSTILE = "/\\?#@:[]%.。．｡①⓪１ａﬀßİ℀\u200b\u202e\u00ad\t\r\n\0 \x7féא-_~+0x7f1a"
fragments = st.one_of(
    st.sampled_from(
        ["https://", "http://", "HTTPS:", "//", "127.0.0.1", "[::1]", "localhost", "example.com",
         ":443", ":8443", ":0", "user@", "xn--", "0x7f", "..", "%2e", "%", "é", "/../", "?a=b&c",
         "93.184.215.14", "2606:4700::1111", "☃.net", "faß.de"]
    ),
    st.text(st.sampled_from(HOSTILE), max_size=4),
    st.text(max_size=4),
)  # fmt: skip
mangled = st.lists(fragments, max_size=8).map("".join)
hosts = st.one_of(
    domains(),
    domains(),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.text(st.characters(codec="utf-8", exclude_characters="/?#"), min_size=1, max_size=12).map(
        lambda label: f"{label}.com"
    ),
)
tails = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="#\\"), max_size=20),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#\\")),
)
plausible = st.builds(
    "https://{}{}{}{}".format,
    hosts,
    st.sampled_from(["", ":443", ":8443"]),
    st.sampled_from(["", "/", "?"]),
    tails,
)
texts = st.one_of(st.text(), mangled, mangled.map("https://{}".format), plausible, plausible)


def accepted(raw: str) -> str | None:
    """The canonical URL, or None for a refusal; nothing else may come of any text."""
    try:
        return check_url(raw, allow_http=True, allow_cidrs=LOOPBACK)
    except InvalidUrlError as error:
        refusal = error
    assert refusal.code.startswith("url_")
    assert refusal.field == "url"
    return None


class TestCheckUrl:
    @settings(deadline=None)
    @given(texts)
    def test_any_text_is_refused_or_has_a_canonical_form(self, raw: str) -> None:
        canonical = accepted(raw)

        if canonical is not None:
            assert canonical.isascii()
            assert canonical.isprintable()
            assert len(canonical) <= URL_MAX

    @settings(deadline=None)
    @given(texts)
    def test_the_canonical_form_is_a_fixed_point(self, raw: str) -> None:
        canonical = accepted(raw)

        if canonical is not None:
            assert accepted(canonical) == canonical
            assert str(URL(canonical)) == canonical

    @settings(deadline=None)
    @given(texts)
    def test_what_was_checked_is_what_is_dialled(self, raw: str) -> None:
        canonical = accepted(raw)

        if canonical is not None:
            dialled, given_ = URL(canonical), URL(raw)
            assert (dialled.raw_host, dialled.port) == (given_.raw_host, given_.port)
            # A parser of another family sees the same host.
            other = urlsplit(canonical)
            assert other.hostname == dialled.raw_host
            assert (other.username, other.password, other.fragment) == (None, None, "")

    @settings(deadline=None)
    @given(domains(), st.sampled_from(["", ":443", ":8443"]), st.sampled_from(["", "/a", "/?b=c"]))
    def test_every_public_domain_name_is_accepted(self, host: str, port: str, tail: str) -> None:
        reserved = host.lower().endswith(
            (".alt", ".arpa", ".corp", ".example", ".internal", ".intranet", ".invalid", ".lan",
             ".local", ".localhost", ".onion", ".test")
        )  # fmt: skip

        assert reserved or accepted(f"https://{host}{port}{tail}") is not None

    @settings(deadline=None)
    @given(st.ip_addresses())
    def test_an_address_is_accepted_just_if_it_may_be_dialled(
        self, address: IPv4Address | IPv6Address
    ) -> None:
        host = f"[{address}]" if address.version == 6 else str(address)
        mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None

        allowed = blocked_range(address, LOOPBACK) is None and not mapped

        assert (accepted(f"https://{host}/") is not None) == allowed

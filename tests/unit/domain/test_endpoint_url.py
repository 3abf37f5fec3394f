from __future__ import annotations

from ipaddress import ip_network

import pytest

from hookseal.domain.endpoint_url import check_url
from hookseal.errors import InvalidUrlError
from tests.bad_inputs.urls import OWN_HOSTS, REFUSED

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

ACCEPTED = [
    ("https://example.com/hook", "https://example.com/hook"),
    ("HTTPS://Example.COM/Hook", "https://example.com/Hook"),
    ("https://example.com", "https://example.com"),
    ("https://example.com:443/a", "https://example.com/a"),
    ("https://example.com:0443/a", "https://example.com/a"),
    ("https://example.com:8443/a", "https://example.com:8443/a"),
    ("https://example.com/a?b=c&d=e", "https://example.com/a?b=c&d=e"),
    ("https://example.com?b=c", "https://example.com/?b=c"),
    ("https://example.com/a@b:c", "https://example.com/a@b:c"),
    ("https://example.com/a%20b", "https://example.com/a%20b"),
    ("https://example.com/é", "https://example.com/%C3%A9"),
    ("https://example.com/a/../b", "https://example.com/b"),
    ("https://bücher.de/", "https://xn--bcher-kva.de/"),
    ("https://例え。テスト.jp/", "https://xn--r8jz45g.xn--zckzah.jp/"),
    ("https://xn--bcher-kva.de/", "https://xn--bcher-kva.de/"),
    # The longest label of one character, composed of three: 63 characters as punycode.
    ("https://" + "\u1100\u1161\u11a8" * 56 + ".kr/", f"https://xn--p39{'a' * 56}.kr/"),
    ("https://1.1.1.1/", "https://1.1.1.1/"),
    ("https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"),
    ("https://[2606:4700:4700::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
    ("https://a.b-c.1a.example.com/", "https://a.b-c.1a.example.com/"),
    ("https://notlocal.com/", "https://notlocal.com/"),
    ("https://local.example.com/", "https://local.example.com/"),
    ("https://example.com/" + "a" * 2028, "https://example.com/" + "a" * 2028),
    # 27: what a name resolves to is judged when it is dialled.
    ("https://resolves-to-10-0-0-1.example.com/", "https://resolves-to-10-0-0-1.example.com/"),
]


class TestCheckUrl:
    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            pytest.param(raw, code, id=f"{number}-{raw[:40]!a}")
            for number, cases in REFUSED.items()
            for raw, code in cases
        ],
    )
    def test_refuses_with_a_code_and_the_field(self, raw: str, code: str) -> None:
        with pytest.raises(InvalidUrlError) as caught:
            check_url(raw, own_hosts=OWN_HOSTS)

        assert (caught.value.code, caught.value.field) == (code, "url")

    @pytest.mark.parametrize(
        ("raw", "canonical"), [pytest.param(*case, id=case[0][:60]) for case in ACCEPTED]
    )
    def test_returns_the_canonical_form(self, raw: str, canonical: str) -> None:
        assert check_url(raw) == canonical
        assert check_url(canonical) == canonical

    @pytest.mark.parametrize(
        ("raw", "part"),
        [
            ("https://example.com\\@evil.com/", "U+005C at position 20"),
            ("https://exam\nple.com/", "U+000A at position 13"),
            ("https://exam\u200bple.com/", "U+200B at position 13"),
            ("https://169.254.169.254/", "169.254.0.0/16 (link-local)"),
            ("https://[fd00:ec2::254]/", "fc00::/7 (unique local)"),
            ("http://example.com/", "https"),
            ("https://example.com:22/", "not 22"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, raw: str, part: str) -> None:
        with pytest.raises(InvalidUrlError) as caught:
            check_url(raw)

        assert part in caught.value.message

    def test_never_repeats_a_query_that_may_hold_a_secret(self) -> None:
        for raw in ("https://a..b/?token=hunter2", "https://[::1/?token=hunter2", "x?hunter2"):
            with pytest.raises(InvalidUrlError) as caught:
                check_url(raw)

            assert "hunter2" not in str(caught.value)


class TestDevelopmentSettings:
    @pytest.mark.parametrize(
        ("raw", "canonical"),
        [
            ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://localhost:8080/x", "http://localhost:8080/x"),
            ("http://LOCALHOST:9050/x", "http://localhost:9050/x"),
            ("http://localhost/x", "http://localhost/x"),
            ("http://example.com:80/x", "http://example.com/x"),
            ("https://localhost/x", "https://localhost/x"),
        ],
    )
    def test_open_loopback_http_and_ports(self, raw: str, canonical: str) -> None:
        ports = ((8080, 8080), (9000, 9100))

        assert check_url(raw, allow_http=True, allow_ports=ports, allow_cidrs=LOOPBACK) == canonical

    @pytest.mark.parametrize(
        ("raw", "code"),
        [
            ("http://127.0.0.1:8081/x", "url_port"),
            ("http://10.0.0.1/x", "url_ip_blocked"),
            ("http://intranet/x", "url_host_unqualified"),
            ("http://app.localhost/x", "url_host_reserved"),
            ("http://[::ffff:127.0.0.1]/x", "url_ip_form"),
            ("ftp://127.0.0.1/x", "url_scheme"),
        ],
    )
    def test_open_nothing_else(self, raw: str, code: str) -> None:
        with pytest.raises(InvalidUrlError) as caught:
            check_url(raw, allow_http=True, allow_cidrs=LOOPBACK)

        assert caught.value.code == code

    def test_open_localhost_only_together_with_all_of_loopback(self) -> None:
        with pytest.raises(InvalidUrlError) as caught:
            check_url("https://localhost/", allow_cidrs=(ip_network("127.0.0.1/32"),))

        assert caught.value.code == "url_host_unqualified"

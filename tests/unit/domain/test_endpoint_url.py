# ruff: noqa: RUF001 - lookalikes are what is tested
from __future__ import annotations

from ipaddress import ip_network

import pytest

from hookseal.domain.endpoint_url import check_url
from hookseal.errors import InvalidUrlError

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
OWN = frozenset({"api.hookseal.example.com", "93.184.215.14"})
LABEL_63 = "a" * 63

# By the numbers of the bad inputs in the threat model.
# fmt: off
REFUSED = {
    1: [("", "url_empty")],
    2: [
        ("example.com/x", "url_not_absolute"),
        ("//example.com", "url_not_absolute"),
        ("/x", "url_not_absolute"),
        ("https:/example.com", "url_not_absolute"),
        ("https:example.com", "url_not_absolute"),
        ("://example.com", "url_not_absolute"),
        ("example.com:443/x", "url_not_absolute"),
    ],
    3: [
        (f"{scheme}://example.com/", "url_scheme")
        for scheme in ("ftp", "file", "gopher", "ws", "wss", "tcp", "unix", "http+unix", "HTTPX")
    ]
    + [("file:///etc/passwd", "url_scheme")],
    4: [
        ("javascript:alert(1)", "url_not_absolute"),
        ("data:text/plain,x", "url_not_absolute"),
        ("mailto:ops@example.com", "url_not_absolute"),
    ],
    5: [("http://example.com/", "url_scheme"), ("HTTP://example.com/", "url_scheme")],
    6: [
        ("https://user:pw@example.com/", "url_userinfo"),
        ("https://user@example.com/", "url_userinfo"),
        ("https://@example.com/", "url_userinfo"),
        ("https://:@example.com/", "url_userinfo"),
        ("https://example.com@127.0.0.1/", "url_userinfo"),
    ],
    7: [
        ("https://example.com\\@127.0.0.1/", "url_bad_char"),
        ("https:\\\\example.com/", "url_bad_char"),
        ("https://example.com/a\\b", "url_bad_char"),
    ],
    8: [
        (f"https://exam{character}ple.com/", "url_bad_char")
        for character in ("\r", "\n", "\t", "\0", " ", "\x1f", "\x7f")
    ]
    + [(" https://example.com/", "url_bad_char"), ("https://example.com/\r\n", "url_bad_char")],
    9: [
        ("https://example.com/#top", "url_fragment"),
        ("https://example.com/#", "url_fragment"),
        ("https://example.com#@127.0.0.1/", "url_fragment"),
    ],
    10: [
        ("https://example.com/" + "a" * 2029, "url_too_long"),
        # Short as it came, too long once it is percent-encoded.
        ("https://example.com/" + "é" * 400, "url_too_long"),
    ],
    11: [(f"https://example.com:{port}/", "url_port") for port in (0, 22, 80, 6379, 8080, 65535)],
    12: [
        (f"https://example.com:{port}/", "url_host")
        for port in ("abc", "-1", "+443", "٤٤٣", "４４３", "80:80", "", "4_4_3", "443:")
    ]
    + [("https://:443/", "url_host"), ("https:///x", "url_host"), ("https://", "url_host")],
    13: [
        ("https://example.com:65536/", "url_malformed"),
        ("https://example.com:" + "9" * 1000 + "/", "url_malformed"),
    ],
    14: [
        ("https://%65xample.com/", "url_host"),
        ("https://example.com%00/", "url_host"),
        ("https://example.com%2f@127.0.0.1/", "url_userinfo"),
    ],
    15: [
        ("https://[fe80::1%25eth0]/", "url_host"),
        ("https://[fe80::1%eth0]/", "url_host"),
    ],
    16: [
        ("https://[::1/", "url_host"),
        ("https://::1]/", "url_host"),
        ("https://::1/", "url_host"),
        ("https://[::1]a/", "url_host"),
        ("https://[[::1]]/", "url_host"),
        ("https://[]/", "url_host"),
        ("https://[v1.a:b]/", "url_host"),
        ("https://[example.com]/", "url_host"),
        ("https://[::1].example.com/", "url_host"),
        ("https://example.com[::1]/", "url_host"),
    ],
    17: [
        (f"https://{address}/", "url_ip_blocked")
        for address in (
            "127.0.0.1", "10.0.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16",
            "0.0.0.0", "172.16.0.1", "192.168.1.1", "192.0.0.192", "224.0.0.1", "255.255.255.255",
        )
    ],
    18: [
        (f"https://[{address}]/", "url_ip_blocked")
        for address in (
            "::", "::1", "fd00:ec2::254", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001::1",
            "fe80::1", "fec0::1", "ff02::1", "::127.0.0.1", "0:0:0:0:0:0:0:1", "3fff::1", "5f00::1",
        )
    ],
    19: [
        ("https://[::ffff:127.0.0.1]/", "url_ip_form"),
        ("https://[::ffff:7f00:1]/", "url_ip_form"),
        ("https://[::ffff:1.1.1.1]/", "url_ip_form"),
        ("https://[0:0:0:0:0:FFFF:7f00:1]/", "url_ip_form"),
    ],
    20: [
        (f"https://{host}/", "url_ip_form")
        for host in (
            "2130706433", "0177.0.0.1", "0x7f000001", "0x7f.0.0.1", "127.1", "1.2.3", "256.1.1.1",
            "0", "127.0.0.1.", "1.1.1.1.1", "1.1.1.01", "0X7F000001", "example.0x", "example.1",
        )
    ],
    21: [
        ("https://①②⑦.⓪.⓪.①/", "url_ip_blocked"),
        ("https://１２７.０.０.１/", "url_ip_blocked"),
        ("https://127。0。0。1/", "url_ip_blocked"),
        ("https://１０．０．０．１/", "url_ip_blocked"),
    ],
    22: [
        ("https://localhost/", "url_host_unqualified"),
        ("https://intranet/", "url_host_unqualified"),
        ("https://LOCALHOST/", "url_host_unqualified"),
        ("https://com/", "url_host_unqualified"),
    ],
    23: [
        (f"https://{host}/", "url_host_reserved")
        for host in (
            "foo.local", "metadata.google.internal", "app.localhost", "router.lan", "x.home.arpa",
            "home.arpa", "a.corp", "a.onion", "a.test", "a.invalid", "a.example", "a.alt",
            "a.intranet", "FOO.LOCAL", "ｆｏｏ.ｌｏｃａｌ",
        )
    ],
    24: [
        (f"https://{host}/", "url_host")
        for host in (
            "a..b", "-a.com", "a-.com", "a_b.com", "a" * 64 + ".com", ".com", ".", "..",
            ".".join([LABEL_63] * 4), "example.com.", "a,b.com", "a!.com", "a*.com", "*.a.com",
            "a;b.com", "a=b.com", "a'b.com",
        )
    ],
    25: [
        (f"https://exam{character}ple.com/", "url_malformed")
        for character in (
            "\u200b", "\u200c", "\u200d", "\u200e", "\u202e", "\u2066", "\ufeff", "\u00ad",
            "\u00a0", "\u3000", "\u2028", "\x85", "\ud800",
        )
    ]
    + [
        ("https://example.com/\u202egpj.exe", "url_malformed"),
        ("https://ex\u2100mple.com/", "url_malformed"),
        ("https://example.com\uff0f.evil.com/", "url_malformed"),
    ],
    26: [
        ("https://api.hookseal.example.com/v1/events", "url_self"),
        ("https://API.Hookseal.example.com:8443/", "url_self"),
        ("https://ａpi.hookseal.example.com/", "url_self"),
        ("https://93.184.215.14/", "url_self"),
    ],
}
# fmt: on

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
            check_url(raw, own_hosts=OWN)

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

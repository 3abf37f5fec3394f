# ruff: noqa: RUF001 - lookalikes are what is tested
"""URLs that must be refused, by their numbers in the threat model, with the codes."""

from __future__ import annotations

OWN_HOSTS = frozenset({"api.hookseal.example.com", "93.184.215.14"})
LABEL_63 = "a" * 63

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
        # IDNA takes quadratic time for a label.
        ("https://" + "\u1100\u1161\u11a8" * 60 + ".com/", "url_malformed"),
        (f"https://{''.join(map(chr, range(0x4E00, 0x4EFD)))}.com/", "url_malformed"),
        (f"https://{''.join(map(chr, range(0x4E00, 0x5500)))}.com/", "url_malformed"),
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

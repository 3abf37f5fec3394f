# ruff: noqa: RUF001 - lookalikes are what is tested
"""Custom headers that must be refused, by their numbers in the threat model."""

from __future__ import annotations

BAD_NAMES = {67: ["X A", "", "X:", "X-A:", "X\tA", "X-Ä", "X\r\nY", "X\0", "(X)", "X/Y", "Ｘ"]}
BAD_VALUES = {68: ["a\rb", "a\nb", "a\r\nX-B: c", "a\0b", "a\x7fb", "a\x1bb", "é", "\ud800", "a\n"]}
RESERVED = {
    69: [
        "Host", "Content-Length", "Transfer-Encoding", "webhook-signature", "Cookie",
        "Content-Type", "Content-Encoding", "TE", "Trailer",  # codespell:ignore te
        "Connection", "Upgrade", "Expect",
        "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Accept-Encoding", "User-Agent",
        "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Webhook-Id", "webhook-timestamp",
        "HTTP2-Settings", "traceparent", "tracestate", "hookseal-event-id", "hOsT",
        "Content_Length", "Transfer_Encoding", "Webhook_Signature", "X_Forwarded-For",
    ]
}  # fmt: skip

from __future__ import annotations

import pytest

from hookseal.domain.tenant import ApiKey, CommandResult, decode, encode
from hookseal.errors import InvalidInputError
from tests.builders import a_tenant, an_endpoint


class TestDocument:
    def test_a_tenant_survives_the_changelog(self) -> None:
        key = ApiKey("k1", "digest", 0, ("events:write",), 1.0)
        tenant = a_tenant(
            "acme", an_endpoint(), an_endpoint("ep_2", enabled=False), api_keys=(key,)
        ).noting(CommandResult("c", "ok", "what was asked for"))

        assert decode(encode(tenant)) == tenant

    def test_says_its_version(self) -> None:
        assert encode(a_tenant()).startswith(b'{"v":1,')

    @pytest.mark.parametrize(
        ("document", "code"),
        [
            (b"", "tenant_document_invalid"),
            (b"[]", "tenant_document_invalid"),
            (b'{"customer_id":"acme"}', "tenant_document_invalid"),
            (b'{"customer_id":"acme","revision":1}', "tenant_document_invalid"),
            (b'{"v":2,"customer_id":"acme","revision":1}', "tenant_document_version"),
        ],
    )
    def test_anything_else_is_refused(self, document: bytes, code: str) -> None:
        with pytest.raises(InvalidInputError) as refused:
            decode(document)

        assert refused.value.code == code

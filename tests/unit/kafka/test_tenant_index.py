from __future__ import annotations

import pytest

from hookseal.domain.tenant import ApiKey, encode
from hookseal.errors import InvalidInputError
from hookseal.tenants.index import TenantIndex
from tests.builders import a_tenant


def a_key(key_id: str) -> ApiKey:
    return ApiKey(key_id, "digest", 1, ("events:write",))


def put(index: TenantIndex, customer_id: str, *key_ids: str) -> None:
    tenant = a_tenant(customer_id, api_keys=tuple(map(a_key, key_ids)))
    assert index.put(customer_id, encode(tenant)) == tenant


def ids(index: TenantIndex, after: str | None = None, limit: int = 100) -> list[str]:
    return [tenant.customer_id for tenant in index.page(after, limit)]


class TestTenantIndex:
    def test_a_tenant_is_found_by_its_id_and_by_its_keys(self) -> None:
        index = TenantIndex()

        put(index, "acme", "k1", "k2")

        found = index.get("acme")
        assert found is not None
        assert found.customer_id == "acme"
        assert [index.customer_of(key) for key in ("k1", "k2", "k3")] == ["acme", "acme", None]
        assert len(index) == 1

    def test_a_revoked_key_is_nobodys(self) -> None:
        index = TenantIndex()
        put(index, "acme", "k1", "k2")

        put(index, "acme", "k2", "k3")

        assert [index.customer_of(key) for key in ("k1", "k2", "k3")] == [None, "acme", "acme"]
        assert len(index) == 1

    def test_a_removed_tenant_leaves_nothing(self) -> None:
        index = TenantIndex()
        put(index, "acme", "k1")
        index.sort()

        index.remove("acme")
        index.remove("acme")

        assert (index.get("acme"), index.customer_of("k1")) == (None, None)
        assert (ids(index), len(index)) == ([], 0)

    def test_who_had_a_key_first_keeps_it_until_it_is_revoked(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        index = TenantIndex()
        put(index, "acme", "k1")

        put(index, "evil", "k1")
        holder = index.customer_of("k1")
        index.remove("evil")

        assert (holder, index.customer_of("k1")) == ("acme", "acme")
        (record,) = caplog.records
        assert "tenants.api_key_conflict" in str(record.msg)
        assert record.levelname == "ERROR"

    @pytest.mark.parametrize(
        ("document", "code"),
        [
            (b"", "tenant_document_invalid"),
            (b'{"v":1,"customer_id":"acme"}', "tenant_document_invalid"),
            (encode(a_tenant("acme")).replace(b'"v":1', b'"v":2'), "tenant_document_version"),
            (encode(a_tenant("evil")), "tenant_document_misplaced"),
        ],
    )
    def test_a_document_that_cannot_be_read_leaves_the_tenant_absent(
        self, document: bytes, code: str
    ) -> None:
        index = TenantIndex()
        put(index, "acme", "k1")

        with pytest.raises(InvalidInputError) as caught:
            index.put("acme", document)

        assert caught.value.code == code
        assert (index.get("acme"), index.customer_of("k1"), ids(index)) == (None, None, [])


class TestPage:
    def test_goes_on_behind_a_customer_id_whether_or_not_there_is_one(self) -> None:
        index = TenantIndex()
        for customer_id in ("c", "a", "e"):
            put(index, customer_id)

        assert ids(index, None, 2) == ["a", "c"]
        assert ids(index, "c", 2) == ["e"]
        assert ids(index, "b", 1) == ["c"]
        assert ids(index, "e") == []
        assert ids(index, None, 0) == []

    def test_stays_in_order_with_what_comes_later(self) -> None:
        index = TenantIndex()
        put(index, "b")
        index.sort()

        for customer_id in ("d", "a", "c", "a"):
            put(index, customer_id)
        index.remove("b")

        assert ids(index) == ["a", "c", "d"]

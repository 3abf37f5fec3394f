from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.tenant import ApiKey, encode
from hookseal.errors import InvalidInputError
from hookseal.tenants.index import TenantIndex
from tests.builders import a_tenant, an_endpoint

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant

_CUSTOMERS = ("a", "aa", "b", "c", "é")
_KEY_NUMBERS = range(4)
_SORT = "sort"
_UNREADABLE = b'{"v":1}'


@st.composite
def _tenants(draw: st.DrawFn) -> Tenant:
    customer_id = draw(st.sampled_from(_CUSTOMERS))
    numbers = draw(st.lists(st.sampled_from(_KEY_NUMBERS), max_size=2, unique=True))
    # Ids are drawn at random in earnest, so that no two tenants have the same.
    keys = tuple(ApiKey(f"{customer_id}-{n}", "digest", 1, ("replay",)) for n in numbers)
    endpoint = an_endpoint(paused_at=draw(st.none() | st.just(1.0)), enabled=draw(st.booleans()))
    return a_tenant(customer_id, endpoint, revision=draw(st.integers(1, 9)), api_keys=keys)


_writes = st.one_of(
    _tenants().map(lambda tenant: (tenant.customer_id, encode(tenant))),
    st.tuples(st.sampled_from(_CUSTOMERS), st.none() | st.just(_UNREADABLE)),
    # From then on the order is kept rather than made.
    st.just((_SORT, None)),
)


def _index_of(writes: list[tuple[str, bytes | None]]) -> TenantIndex:
    index = TenantIndex()
    for customer_id, document in writes:
        if customer_id == _SORT:
            index.sort()
        elif document is None:
            index.remove(customer_id)
        else:
            with suppress(InvalidInputError):
                index.put(customer_id, document)
    return index


@given(st.lists(_writes))
def test_what_came_before_the_latest_documents_leaves_no_trace(
    writes: list[tuple[str, bytes | None]],
) -> None:
    latest = dict(writes)

    index, rebuilt = _index_of(writes), _index_of(list(latest.items()))

    assert index.page(None, 100) == rebuilt.page(None, 100)
    assert len(index) == len(rebuilt)
    assert index.stopped() == [
        tenant for tenant in index.page(None, 100) if tenant.endpoints[0].state == "paused"
    ]
    for customer_id in _CUSTOMERS:
        assert index.get(customer_id) == rebuilt.get(customer_id)
        assert index.page(customer_id, 2) == rebuilt.page(customer_id, 2)
        for number in _KEY_NUMBERS:
            key_id = f"{customer_id}-{number}"
            assert index.customer_of(key_id) == rebuilt.customer_of(key_id)
            held = index.get(customer_id)
            has = held is not None and held.api_key(key_id) is not None
            assert (index.customer_of(key_id) == customer_id) == has

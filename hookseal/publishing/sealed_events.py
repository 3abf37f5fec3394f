"""Encrypts the data of events before they are written to `events`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hookseal.domain.event import SEALED_HEADER
from hookseal.domain.json_text import data_member

if TYPE_CHECKING:
    from hookseal.domain.new_event import NewEvent
    from hookseal.seal.vault import EventVault

_DATA = b',"data":'


class _Head(msgspec.Struct):
    type: str
    id: str = ""


_head = msgspec.json.Decoder(_Head)


def sealed(draft: NewEvent, vault: EventVault) -> NewEvent:
    """Return the event with encrypted data; type, id and time stay readable."""
    data = data_member(draft.value) or b"null"
    head = draft.value[: -len(_DATA) - len(data) - 1]
    event = _head.decode(head + b"}")
    text = vault.seal(data, draft.customer_id, event.id, event.type)
    value = b'%b,"sealed":"%b"}' % (head, text.encode())
    return replace(draft, value=value, more=(*draft.more, (SEALED_HEADER, b"1")))

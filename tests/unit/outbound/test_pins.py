"""Parts of aiohttp below its session, which are no public interface and are relied on.

A release that changes one of them must be read before it is taken. To accept a change, read
the new source against `hookseal/outbound`, then write the new digest down.
"""

from __future__ import annotations

import hashlib
import inspect

import aiohappyeyeballs
import pytest
from aiohttp import ClientRequest, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import BaseConnector, Connection
from aiohttp.streams import DataQueue

RELIED_ON = {
    BaseConnector._release: "105426e5b03d",
    BaseConnector._cleanup: "c655c367f7df",
    BaseConnector._close: "4429f9281656",
    Connection.release: "985a11c93791",
    Connection.close: "1544c015301a",
    TCPConnector._create_direct_connection: "c009b18bcc35",
    TCPConnector._wrap_create_connection: "7d64ce083616",
    TCPConnector._close: "b14bc70e861d",
    aiohappyeyeballs.start_connection: "6907ff9442c1",
    ResponseHandler.set_response_params: "2eb047e32248",
    ResponseHandler.data_received: "9bf7ecf8e505",
    ResponseHandler.set_exception: "83971750bbd9",
    ResponseHandler.connection_lost: "84b98dfd8035",
    vars(ResponseHandler)["should_close"].fget: "fef595ed5edd",
    vars(ClientRequest)["connection_key"].fget: "0976f2a8d42a",
    DataQueue.read: "1340dfce4e19",
}


def digest(function: object) -> str:
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:12]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "expected"), RELIED_ON.items(), ids=lambda item: getattr(item, "__qualname__", "")
)
def test_what_we_rely_on_is_what_we_read(function: object, expected: str) -> None:
    assert digest(function) == expected

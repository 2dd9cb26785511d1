"""Runs an ASGI application under uvicorn, in a thread and on a free port, as the tests' clients will meet it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from proxy.server.http_protocol import protocol_for
from tests.waiting import wait_until


@contextmanager
def serve(app: Any, http: Any = None, keep_alive: int = 5) -> Iterator[str]:
    """The address of the running application, as `http://127.0.0.1:<port>`.

    `http`: another protocol class than the service's own. `keep_alive`: seconds.
    """
    http = http or protocol_for(1000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, loop="uvloop", http=http, log_config=None, access_log=False, ws="none", timeout_keep_alive=keep_alive
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started or not thread.is_alive(), 30)
        assert server.started, "the application did not start"
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def connect(address: str) -> httpx.Client:
    """A client that keeps no connection: uvicorn closes one after a 500 of the reference, and the next request on it
    would be lost."""
    return httpx.Client(base_url=address, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))

"""uvicorn's server, which lets no request down when it stops.

uvicorn's own stop resets the connections that it has not accepted yet, closes kept connections while a request may be
on its way over them, and answers what takes longer than its limit with a 500.
"""

import asyncio
import socket
from collections.abc import Sequence

import uvicorn

from proxy.server.http_protocol import BoundedProtocol
from proxy.server.stopping import STOPPING

# From SIGTERM, what is under way has this long; then it is answered with 503. The launcher gives the proxy a bit more
# (runtime/launcher.py) before it stops Triton, which these requests need.
ANSWER_SECONDS = 2.5
# And all is closed after this long, for which uvicorn asks for a whole number: the answers must have left by then.
STOP_SECONDS = 3
# A client that uses its connection at all is told by an answer in this time that the connection ends.
_KEPT_SECONDS = 0.3


class Server(uvicorn.Server):
    """Stops in this order: no new connections, no new requests, an end to those under way.

    The protocol must be a `BoundedProtocol`, the application have the middleware `Stopping`, and
    `timeout_graceful_shutdown` be STOP_SECONDS.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Returns when every connection is closed, or after the time for it."""
        loop = asyncio.get_running_loop()
        self.lifespan.state[STOPPING] = True
        await self._accept_all(sockets or [])
        timers = [
            loop.call_later(_KEPT_SECONDS, self._close_idle),
            loop.call_later(ANSWER_SECONDS, self._end_requests),
        ]
        try:
            await super().shutdown(sockets)
        finally:
            for timer in timers:
                timer.cancel()

    async def _accept_all(self, listeners: Sequence[socket.socket]) -> None:
        """Closes the listeners; a client that has connected already is served."""
        loop = asyncio.get_running_loop()
        accepted = [connection for listener in listeners for connection in _queued(listener)]
        for server in self.servers:
            server.close()
        for listener in listeners:
            listener.close()
        for connection in accepted:
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> BoundedProtocol:
        made: BoundedProtocol = self.config.http_protocol_class(  # type: ignore[call-arg, assignment]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def _close_idle(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.close_if_idle()

    def _end_requests(self) -> None:
        """`Stopping` answers each that ends so."""
        self._close_idle()
        for task in list(self.server_state.tasks):
            task.cancel()


def _queued(listener: socket.socket) -> list[socket.socket]:
    found = []
    listener.setblocking(False)
    while True:
        try:
            found.append(listener.accept()[0])
        except OSError:  # none is left
            return found

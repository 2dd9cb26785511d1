"""Runs the whole service: the export where needed, then Triton and the proxy, until a signal stops them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from runtime.control import listening
from runtime.cores import available_cores
from runtime.errors import NotReady
from runtime.launch_folder import service_folder
from runtime.layout import Layout
from runtime.ports import reachable, resolve
from runtime.processes import Child, Children
from runtime.readiness import ask, authority, listens
from runtime.services import POLL_SECONDS, Service
from runtime.serving import Serving
from runtime.settings import PROJECT_ROOT, Settings
from runtime.shared_memory import SharedMemory
from runtime.triton_log import TritonLog
from runtime.triton_server import triton_command, triton_environment
from runtime.watchdog import embeds, lives, stuck
from runtime.wheel import TritonWheel

# Exports what the settings name, at once done where that stands there already.
EXPORT_COMMAND = (sys.executable, "-m", "export", "--if-needed", "--fallback", "package:multilingual_e5_small")
GRACE_SECONDS = 4.0  # for all that is under way, once told to stop; then SIGKILL
_PROXY_GRACE_SECONDS = 2.8  # of these, before Triton is told too: a bit more than proxy/server/server.py gives requests
DRAINED_SECONDS = 0.2  # after Triton's last answer, for the bytes to leave; the rest of its stop saves nothing
_EXPLAIN_AFTER_SECONDS = 5.0  # of waiting with both up
_LONGEST_PAUSE_SECONDS = 2.0  # between questions to a proxy that is not healthy yet


async def _first(*futures: "asyncio.Future[Any]", timeout: float | None = None) -> "set[asyncio.Future[Any]]":
    """Those that are done as soon as one is, or after `timeout` seconds."""
    return (await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED))[0]


class Signals:
    """SIGTERM and SIGINT ask for a stop; a SIGINT while stopping asks for haste."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)

    def _interrupt(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


class Launcher:
    """One run of the service. `announce` takes the line that says it is ready, `tell` all others."""

    def __init__(
        self,
        settings: Settings,
        wheel: TritonWheel,
        layout: Layout,
        export_command: Sequence[str],
        announce: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._wheel = wheel
        self._layout = layout
        self._export_command = export_command
        self._announce = announce
        self._tell = tell
        self._triton_address = resolve(settings.triton_host, "TRITON_HOST", ipv4_only=True)[1]
        self._triton_door = reachable(self._triton_address)
        self._proxy_door = reachable(resolve(settings.proxy_host, "PROXY_HOST")[1])
        self._log = TritonLog(tell, settings.log_level)

    async def run(self) -> int:
        """Returns the exit code: 0 after a signal, the export's where that failed.

        Raises a `RuntimeStopped` when the service cannot be brought up.
        """
        self._signals = Signals()
        self._children = Children()
        code = await self._export()
        if code != 0 or self._signals.stop.is_set():
            return code
        folder = service_folder(self._settings.triton_http_port)
        self._serving = Serving(self._settings, self._triton_door, folder / "models")
        self._shared_memory = SharedMemory()
        try:
            async with listening(folder, lambda: self._serving.reload(self._tell)):
                return await self._serve()
        finally:
            self._shared_memory.close()

    async def _export(self) -> int:
        child = self._children.start(
            self._export_command,
            environment=os.environ,
            folder=PROJECT_ROOT,
        )
        stop = asyncio.create_task(self._signals.stop.wait())
        try:
            await _first(stop, child.exited)
            if child.exited.done():
                return child.exited.result() if child.exited.result() >= 0 else 1
            child.terminate()
            hurry = asyncio.create_task(self._signals.hurry.wait())
            await _first(child.exited, hurry, timeout=GRACE_SECONDS)
            hurry.cancel()
            return 0
        finally:
            stop.cancel()
            child.destroy()

    async def _serve(self) -> int:
        self._triton: Service = Service(
            "Triton",
            self._start_triton,
            self._triton_is_up,
            self._tell,
            on_up=self._triton_came_up,
            after_exit=self._shared_memory.clear,
            last_error=lambda: self._log.last_error,
            broken=self._serving.lost_step,
            stuck=partial(
                stuck,
                answers=embeds(self._triton_door, self._settings.triton_http_port),
                up=lambda: self._triton.up,
            ),
        )
        self._proxy: Service = Service(
            "The proxy",
            self._start_proxy,
            self._proxy_is_up,
            self._tell,
            stuck=partial(stuck, answers=lives(self._proxy_door, self._settings.proxy_port), up=lambda: self._proxy.up),
        )
        stop = asyncio.create_task(self._signals.stop.wait())
        ready = asyncio.create_task(self._wait_until_ready())
        # The proxy first: it starts while the model's digests are checked.
        keeping = [asyncio.create_task(service.keep_running()) for service in (self._proxy, self._triton)]
        try:
            while not stop.done():
                for task in await _first(stop, *keeping, *([] if ready.done() else [ready])):
                    task.result()  # raises what ended the run
            return 0
        finally:
            for task in (stop, ready, *keeping):
                task.cancel()
            await asyncio.gather(stop, ready, *keeping, return_exceptions=True)
            await self._stop()

    async def _stop(self) -> None:
        """Proxy first, then Triton; within GRACE_SECONDS and a moment, nothing is left of either."""
        hurry, now = self._signals.hurry, time.monotonic()
        try:
            self._proxy.terminate()
            await self._proxy.wait_for_exit(now + _PROXY_GRACE_SECONDS, hurry)
            self._triton.terminate()
            await self._triton.wait_for_exit(now + GRACE_SECONDS, hurry, early=lambda: self._log.drained)
            if self._log.drained:
                await self._triton.wait_for_exit(time.monotonic() + DRAINED_SECONDS, hurry)
            await self._proxy.wait_for_exit(now + GRACE_SECONDS, hurry)
        finally:
            self._proxy.destroy()
            self._triton.destroy()

    def _start_triton(self) -> Child:
        """Raises `RepositoryChanged` for files that are not as they were exported, at each start anew."""
        self._serving.prepare()
        self._log.begin()
        command = triton_command(
            self._settings,
            self._wheel,
            self._layout,
            self._serving.folder,
            self._serving.key,
            self._triton_address,
            self._shared_memory.prefix,
        )
        threads = self._settings.encoder_threads or available_cores()
        environment = triton_environment(self._settings, self._wheel, self._layout, threads)
        return self._children.start(command, environment=environment, folder=self._layout.work, show=self._log.read)

    def _start_proxy(self) -> Child:
        environment = {
            **os.environ,
            "TRITON_URL": f"http://{authority(self._triton_door, self._settings.triton_http_port)}",
            "PROXY_HOST": self._settings.proxy_host,
            "PROXY_PORT": str(self._settings.proxy_port),
            "LOG_LEVEL": self._settings.log_level,
        }
        return self._children.start([sys.executable, "-m", "proxy"], environment=environment, folder=PROJECT_ROOT)

    def _triton_came_up(self) -> None:
        self._log.forget()
        self._serving.can_reload = True

    async def _triton_is_up(self) -> bool:
        answer = await ask(self._triton_door, self._settings.triton_http_port, "/v2/health/ready")
        return answer is not None and answer.status == 200

    async def _proxy_is_up(self) -> bool:
        return await listens(self._proxy_door, self._settings.proxy_port)

    async def _wait_until_ready(self) -> None:
        """Polls the proxy until a text can be embedded, and announces it.

        Raises `NotReady`, saying what is missing, after START_TIMEOUT_SECONDS.
        """
        port = self._settings.proxy_port
        deadline = time.monotonic() + self._settings.start_timeout_seconds
        explain_at, told, pause = float("inf"), "", POLL_SECONDS
        while True:
            # Asked only when the answer can be yes: the proxy logs each question.
            both_up = self._triton.up and self._proxy.up
            answer = await ask(self._proxy_door, port, "/health") if both_up else None
            if answer is not None and answer.status == 200:
                self._announce_ready(answer.document)
                return
            missing = self._missing(str(answer.document.get("detail", answer.status)) if answer else "")
            now = time.monotonic()
            if now > deadline:
                seconds = self._settings.start_timeout_seconds
                raise NotReady(f"Not ready after START_TIMEOUT_SECONDS ({seconds:g} s): {missing}.")
            if not both_up:
                explain_at, pause = now + _EXPLAIN_AFTER_SECONDS, POLL_SECONDS
            elif now > explain_at and missing != told:
                told = missing
                self._tell(f"Not ready yet: {missing}.")
            await asyncio.sleep(min(pause, deadline - now))
            pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS) if both_up else POLL_SECONDS

    def _announce_ready(self, health: dict[str, Any]) -> None:
        url = f"http://{authority(self._proxy_door, self._settings.proxy_port)}"
        self._announce(
            f"Ready: {url} ({health.get('model')}, {health.get('dim')} dimensions). Try: curl -X POST "
            f"{url}/api/v1/embed -H 'Content-Type: application/json' -d '{{\"text\": \"갈비탕\"}}'"
        )

    def _missing(self, detail: str) -> str:
        if not self._triton.up:
            loading = ", ".join(sorted(self._log.loading))
            what = f"Triton still loads {loading}" if loading else "Triton is not up"
            return f"{what}{': ' + self._log.last_error if self._log.last_error else ''}"
        if not self._proxy.up:
            return f"the proxy does not answer on port {self._settings.proxy_port}"
        return f"the proxy says: {detail.rstrip('.')}"

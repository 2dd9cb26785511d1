"""`python -m runtime.triton_alone`: runs Triton without the proxy, in the foreground; what Triton's container runs.

It ends when Triton does: what runs it (a container engine, an init system) is there to start it again.
`--lay-out` only makes the folder that Triton starts from, for an image whose file system cannot be written to later.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence

from runtime.control import listening
from runtime.cores import available_cores
from runtime.errors import ChildFailed, RuntimeStopped
from runtime.launch_folder import service_folder
from runtime.launcher import DRAINED_SECONDS, GRACE_SECONDS, Signals
from runtime.layout import Layout, lay_out
from runtime.ports import check_ports, reachable, resolve
from runtime.processes import Child, Children, describe_exit
from runtime.readiness import ask, authority
from runtime.services import INSPECT_SECONDS, POLL_SECONDS
from runtime.serving import Serving
from runtime.settings import PROJECT_ROOT, Settings, load_settings
from runtime.shared_memory import SharedMemory
from runtime.triton_log import TritonLog
from runtime.triton_server import triton_command, triton_environment
from runtime.watchdog import embeds, stuck
from runtime.wheel import TritonWheel, find_libpython, find_wheel


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 stopped by SIGTERM or SIGINT, 2 a bad setting, 1 when Triton did not start or ended by itself."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.triton_alone", description="Runs Triton without the proxy."
    )
    parser.add_argument("--lay-out", action="store_true", help="only make the folder that Triton starts from")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings()
        wheel = find_wheel()
        layout = lay_out(wheel, find_libpython(), PROJECT_ROOT / "build" / "triton")
        if not options.lay_out:
            check_ports(listener for listener in settings.listeners if listener[0] != "PROXY_PORT")
            asyncio.run(serve(settings, wheel, layout, _tell))
    except RuntimeStopped as error:
        _tell(f"error: {error}")
        return error.exit_code
    return 0


async def serve(settings: Settings, wheel: TritonWheel, layout: Layout, tell: Callable[[str], None]) -> None:
    """Runs Triton until a signal stops it.

    Raises `NotReady` without a repository, `RepositoryChanged` for one that is not as it was exported, `ChildFailed`
    when Triton or one of its steps ends by itself, or will never answer again.
    """
    signals, children, log = Signals(), Children(), TritonLog(tell, settings.log_level)
    address = resolve(settings.triton_host, "TRITON_HOST", ipv4_only=True)[1]
    door, port = reachable(address), settings.triton_http_port
    folder = service_folder(port)
    serving = Serving(settings, door, folder / "models")
    serving.prepare()
    shared_memory = SharedMemory()
    child = children.start(
        triton_command(settings, wheel, layout, serving.folder, serving.key, address, shared_memory.prefix),
        environment=triton_environment(settings, wheel, layout, settings.encoder_threads or available_cores()),
        folder=layout.work,
        show=log.read,
    )
    stop = asyncio.create_task(signals.stop.wait())
    watch = asyncio.create_task(_watch(door, port, serving, child.process.pid, tell))
    try:
        async with listening(folder, lambda: serving.reload(tell)):
            await asyncio.wait((stop, child.exited, watch), return_when=asyncio.FIRST_COMPLETED)
        if child.exited.done():
            raise ChildFailed(f"Triton {describe_exit(child.exited.result())}.")
        if watch.done():
            raise ChildFailed(f"Triton is killed: {watch.result()}.")
        await _stop(child, log)
    finally:
        stop.cancel()
        watch.cancel()
        child.destroy()
        shared_memory.close()


async def _watch(address: str, port: int, serving: Serving, triton: int, tell: Callable[[str], None]) -> str:
    """Says when Triton is ready; answers why it is of no use any more."""
    while (answer := await ask(address, port, "/v2/health/ready")) is None or answer.status != 200:
        await asyncio.sleep(POLL_SECONDS)
    tell(f"Triton serves {serving.repository.name} on {authority(address, port)}.")
    serving.can_reload = True
    asking = asyncio.create_task(stuck(triton, embeds(address, port), up=lambda: True))
    try:
        while not (why := asking.result() if asking.done() else serving.lost_step(triton)):
            await asyncio.sleep(INSPECT_SECONDS)
        return why
    finally:
        asking.cancel()


async def _stop(child: Child, log: TritonLog) -> None:
    """SIGTERM, then time for what is under way: GRACE_SECONDS at most."""
    child.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    while not child.exited.done() and not log.drained and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS / 5)
    await asyncio.wait((child.exited,), timeout=DRAINED_SECONDS)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

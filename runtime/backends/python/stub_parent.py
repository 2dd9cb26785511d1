"""Ends a step's process when its Triton is gone: the stub notices that by itself, but was seen to take 20 s and more.

The layout appends the call of `end_with_parent` to the wheel's `triton_python_backend_utils.py`, so that it runs before
a step's own code.
"""

import contextlib
import os
import select
import signal
import threading
import time

# What the stub, which then also removes its shared memory, is given to end by itself.
GRACE_SECONDS = 2.0


def end_with_parent(grace_seconds: float = GRACE_SECONDS) -> None:
    """Watches the parent from a thread that sleeps until then; does nothing on a kernel older than 5.3."""
    parent = os.getppid()
    try:
        handle = os.pidfd_open(parent)
    except OSError:
        return

    def watch() -> None:
        with contextlib.suppress(OSError):
            if os.getppid() == parent:  # else it ended before it could be watched
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll()
        time.sleep(grace_seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()

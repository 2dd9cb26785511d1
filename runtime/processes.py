"""Child processes that leave nothing behind: each in its own session, dead when the launcher is, and reaped whole."""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_REAP_SECONDS = 2.0  # after SIGKILL; more than that is a process that the kernel itself holds

_libc = ctypes.CDLL(None, use_errno=True)


class Child:
    """A running child and all that it started; `exited` becomes its return code (negative: the signal)."""

    def __init__(self, process: "subprocess.Popen[bytes]", show: Callable[[str], None] | None, lifeline: int) -> None:
        self.process = process
        self._lifeline = lifeline
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._show = show
        self._rest = b""
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            asyncio.get_running_loop().add_reader(process.stdout.fileno(), self._read)

    def terminate(self) -> None:
        """SIGTERM to the child alone: what it started is its own to stop."""
        if not self.exited.done():
            self.process.send_signal(signal.SIGTERM)

    def destroy(self) -> None:
        """SIGKILL to the whole group; returns when none of it is left. To be called in every case, for what stays."""
        group = self.process.pid
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        self.process.wait()
        # What the child left is ours now (see `Children`), and the kernel says when the last one is gone.
        deadline = time.monotonic() + _REAP_SECONDS
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-group, os.WNOHANG)[0] == 0:
                    time.sleep(0.005)
        self._read()
        self._close_output()
        self._cut_lifeline()
        self.poll()

    def poll(self) -> None:
        """Resolves `exited` where the child has ended."""
        code = self.process.poll()
        if code is not None and not self.exited.done():
            self._read()  # its last words, before anyone acts on its end
            self.exited.set_result(code)

    def _read(self) -> None:
        output = self.process.stdout
        if output is None or output.closed:
            return
        while True:
            try:
                chunk = os.read(output.fileno(), 1 << 16)
            except BlockingIOError:
                return
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if not chunk and self._rest:
                lines, self._rest = [*lines, self._rest], b""
            for line in lines:
                if self._show is not None:
                    self._show(line.decode("utf-8", "replace"))
            if not chunk:
                self._close_output()
                return

    def _cut_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _close_output(self) -> None:
        if self.process.stdout is not None and not self.process.stdout.closed:
            asyncio.get_running_loop().remove_reader(self.process.stdout.fileno())
            self.process.stdout.close()


class Children:
    """Starts children and hears of their end. One for each process, made in its main thread, inside the event loop."""

    def __init__(self) -> None:
        self._running: list[Child] = []
        # What a killed child leaves behind comes to us instead of to process 1, which in a container may reap nobody.
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._poll)

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        show: Callable[[str], None] | None = None,
    ) -> Child:
        """Starts `command` in `folder`; with `show`, its output goes there line by line, else where ours goes."""
        launcher = os.getpid()

        def before_exec() -> None:
            # This process has no second thread, so Python may run here. Should the launcher be killed, so is the child,
            # and what it starts: both are set before it can start anything.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _kill_own_group_at_end_of(held)
            if os.getppid() != launcher:  # it was killed before the line above
                os._exit(1)

        held, lifeline = os.pipe()
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if show else None,
            stderr=subprocess.STDOUT if show else None,
            start_new_session=True,
            preexec_fn=before_exec,
            pass_fds=(held,),
        )
        os.close(held)
        child = Child(process, show, lifeline)
        self._running.append(child)
        return child

    def _poll(self) -> None:
        for child in self._running:
            child.poll()
        self._running = [child for child in self._running if not child.exited.done()]


def _kill_own_group_at_end_of(pipe: int) -> None:
    """Has the kernel send SIGKILL to this process's whole group when nobody holds the other end of this pipe any more.

    The death of its parent is told to a child alone: a Python step of Triton, waiting for it with the interpreter's
    lock held, was left behind for good. The group must hold this end, too: whichever of ours closes first.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def describe_exit(code: int) -> str:
    """A return code in words.

    >>> describe_exit(-9), describe_exit(1)
    ('was ended by SIGKILL', 'ended with exit code 1')
    """
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"

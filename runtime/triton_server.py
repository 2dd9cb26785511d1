"""Triton's command line and environment."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from runtime.layout import Layout
from runtime.settings import PROJECT_ROOT, Settings
from runtime.tracing import trace_options
from runtime.wheel import TritonWheel

# Seconds that Triton itself waits for answers under way when it is told to stop; the launcher waits a little longer.
EXIT_TIMEOUT_SECONDS = 3

# The steps that do no heavy arithmetic need no pool of threads that would fight over the cores. The encoder's backend
# sets its own number, whatever stands here.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


# Parts of Triton's protocol that would hand out the server: loading and unloading models, which its launcher alone
# does, reading and writing this machine's shared memory, tracing, and what is logged.
UNLOCK = "unlock"
_SHUT = "model-repository,shared-memory,trace,logging"


def triton_command(
    settings: Settings,
    wheel: TritonWheel,
    layout: Layout,
    models: Path,
    key: str,
    address: str,
    shared_memory_prefix: str,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """The arguments for a Triton that serves the folder `models` on the numeric `address`.

    Who sends `key` as the header `UNLOCK` may load other models. `environment`: where spans go is asked of it.
    """
    lock = f"{_SHUT}:{UNLOCK}={key}"
    return [
        str(wheel.server),
        f"--model-repository={models}",
        f"--backend-directory={layout.backends}",
        "--disable-auto-complete-config",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--strict-readiness=true",
        f"--http-address={address}",
        f"--http-port={settings.triton_http_port}",
        f"--grpc-address={address}",
        f"--grpc-port={settings.triton_grpc_port}",
        f"--metrics-address={address}",
        f"--metrics-port={settings.triton_metrics_port}",
        "--allow-gpu-metrics=false",  # else it warns of the GPU's monitor, which is not there
        "--pinned-memory-pool-byte-size=0",  # for copies to a GPU
        f"--http-restricted-api={lock}",
        f"--grpc-restricted-protocol={lock}",
        f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
        "--log-info=true",  # read by `TritonLog`, which passes on what concerns the user
        *trace_options(environment),
    ]


# Where the encoder's backend keeps what it measured of this machine.
_ENCODER_CHOICES = PROJECT_ROOT / "build" / "encoder"


# Turns that an OpenMP thread waits before it sleeps. libgomp's own 300,000 take a core from the other processes
# after each forward; none at all makes each operation wait for a thread to wake.
_SPIN_COUNT = 2000


# glibc's allocator, in a process whose arrays have another size at each call: pools of their own for some threads, and
# small pieces kept back for the next request of their size, lie between the large ones and hold their memory. The
# encoder grew with every minute under load (`make soak`). One pool that keeps nothing back does not grow, and takes no
# processor time that could be measured.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0",
}


def triton_environment(
    settings: Settings,
    wheel: TritonWheel,
    layout: Layout,
    encoder_threads: int,
    base: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The environment of Triton and of the Python processes that it starts. `encoder_threads`: at least 1."""
    environment = dict(base)
    environment["LD_LIBRARY_PATH"] = _join(layout.libraries, wheel.libraries, base.get("LD_LIBRARY_PATH"))
    # The stub's embedded Python takes its installation, and so the virtual environment, from the first `python3` on
    # PATH; it reads neither PYTHONHOME nor PYTHONPATH.
    environment["PATH"] = _join(Path(sys.executable).parent, base.get("PATH", os.defpath))
    environment["ENCODER_THREADS"] = str(encoder_threads)
    environment["ENCODER_KERNEL"] = settings.encoder_kernel
    environment["ENCODER_CHOICES"] = str(_ENCODER_CHOICES)
    environment.setdefault("GOMP_SPINCOUNT", str(_SPIN_COUNT))
    # A thread for each core stays on it: the kernel leaves two on one core for many requests, each operation waiting
    # for both in turn. With fewer threads the kernel must choose, or two services would choose the same cores.
    if encoder_threads == os.cpu_count():
        environment.setdefault("OMP_PROC_BIND", "true")
    for name, value in {**dict.fromkeys(_ONE_THREAD, "1"), **_ALLOCATOR}.items():
        environment.setdefault(name, value)
    return environment


def perf_environment(wheel: TritonWheel, layout: Layout, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of perf_analyzer."""
    libraries = _join(layout.perf_libraries, wheel.libraries, base.get("LD_LIBRARY_PATH"))
    return {**base, "LD_LIBRARY_PATH": libraries}


def _join(*folders: Path | str | None) -> str:
    return os.pathsep.join(str(folder) for folder in folders if folder)

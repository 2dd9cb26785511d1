"""The service in containers, run for tests as its users run it: by `make` and the compose files."""

import json
import os
import subprocess
from functools import partial
from typing import Any

import httpx

from runtime.settings import PROJECT_ROOT
from tests import waiting

MAKE_SECONDS = 900  # the first build of the images included
EMBED = "/api/v1/embed"


class Stack:
    """One compose project with settings of its own; nothing runs before `make("up-ml")`."""

    def __init__(self, project: str, port: int, **settings: str) -> None:
        self.project = project
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": project,
            "COMPOSE_FILE": "docker-compose.yml",
            "HF_HUB_OFFLINE": "1",
            "PROXY_PORT": str(port),
            **settings,
        }

    def make(self, target: str, check: bool = True, **settings: str) -> "subprocess.CompletedProcess[str]":
        """`make target NAME=value ...`, with what it printed."""
        done = subprocess.run(
            ["make", "--no-print-directory", target, *(f"{name}={value}" for name, value in settings.items())],
            cwd=PROJECT_ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MAKE_SECONDS,
        )
        assert not check or done.returncode == 0, done.stdout
        return done

    def containers(self, service: str = "", *, running: bool = True) -> list[str]:
        """Ids of the project's containers, of one service or of all."""
        filters = [f"label=com.docker.compose.project={self.project}"]
        filters += [f"label=com.docker.compose.service={service}"] if service else []
        every = [] if running else ["--all"]
        return engine("ps", "--quiet", *every, *(part for name in filters for part in ("--filter", name))).split()

    def container(self, service: str) -> str:
        (found,) = self.containers(service, running=False)
        return found

    def inspect(self, service: str) -> Any:
        return json.loads(engine("inspect", self.container(service)))[0]

    def execute(self, service: str, *command: str) -> str:
        """Runs a command in the service's container, as the container's user."""
        return engine("exec", self.container(service), *command)

    def health(self) -> Any:
        """What /health answers, None for anything but a 200."""
        try:
            answer = httpx.get(f"{self.url}/health", timeout=10)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def embed(self, text: str) -> httpx.Response:
        return httpx.post(f"{self.url}{EMBED}", json={"text": text}, timeout=60)

    def exported(self) -> str:
        """Which export is in force: its path, and the inode and time of change of the encoder in it."""
        link = "/models/exported/model_repository"
        return self.execute("triton", "sh", "-c", f"readlink -f {link}; stat -L -c '%i %Z' {link}/encoder/*/model.pt")

    def leftovers(self) -> dict[str, list[str]]:
        """What the engine still has of this project, by kind."""
        label = ("--filter", f"label=com.docker.compose.project={self.project}", "--quiet")
        return {
            "containers": engine("ps", "--all", *label).split(),
            "networks": engine("network", "ls", *label).split(),
            "volumes": engine("volume", "ls", *label).split(),
        }

    def logs(self, service: str) -> str:
        done = subprocess.run(
            ["docker", "logs", self.container(service)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        return done.stdout


def engine(*command: str) -> str:
    """What `docker COMMAND` prints; fails where it does."""
    done = subprocess.run(["docker", *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


# A container takes its time, and each question starts a process or two.
wait_until = partial(waiting.wait_until, seconds=120.0, pause=0.2)


def kill_process(stack: Stack, service: str, name: str) -> None:
    """SIGKILL to the processes of that name in the service's container, from within."""
    code = (
        "import os, pathlib, sys\n"
        "for comm in pathlib.Path('/proc').glob('[0-9]*/comm'):\n"
        "    if comm.read_text().strip() == sys.argv[1]: os.kill(int(comm.parent.name), 9)"
    )
    stack.execute(service, "python", "-c", code, name)

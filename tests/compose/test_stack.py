"""The service of docker-compose.yml on a real engine: closed, unprivileged, back after a fall, and changed in place."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from bench.ports import free_ports
from tests.compose.conftest import TAG, NewStack
from tests.compose.load import Load
from tests.compose.stack import Stack, engine, kill_process, wait_until

SERVICES = ("triton", "ml-inference")
TRITON_PORTS = ("8000", "8002", "8003")


@contextmanager
def changed(stack: Stack, **settings: str) -> Iterator[None]:
    """The stack with other settings in its environment for a while."""
    before = dict(stack.environment)
    stack.environment.update(settings)
    try:
        yield
    finally:
        stack.environment.clear()
        stack.environment.update(before)


def health_state(stack: Stack, service: str) -> str:
    return str(stack.inspect(service)["State"]["Health"]["Status"])


def test_every_service_becomes_healthy(stack: Stack) -> None:
    for service in SERVICES:
        wait_until(lambda service=service: health_state(stack, service) == "healthy")  # type: ignore[misc]
    export = stack.inspect("export")["State"]
    assert (export["Status"], export["ExitCode"]) == ("exited", 0)
    status = stack.make("status-ml").stdout
    assert '"status":"ok"' in status


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_has_rights(stack: Stack, service: str) -> None:
    status = stack.execute(service, "sh", "-c", "cat /proc/[0-9]*/status")
    lines = {name: set(re.findall(rf"^{name}:\t(.*)$", status, re.MULTILINE)) for name in ("Uid", "Gid", "CapEff")}
    assert lines == {"Uid": {"1000\t1000\t1000\t1000"}, "Gid": {"1000\t1000\t1000\t1000"}, "CapEff": {"0" * 16}}
    assert set(re.findall(r"^NoNewPrivs:\t(\d)$", status, re.MULTILINE)) == {"1"}


@pytest.mark.parametrize("service", [*SERVICES, "export"])
def test_a_container_is_locked_down(stack: Stack, service: str) -> None:
    details = stack.inspect(service)
    host = details["HostConfig"]
    assert details["Config"]["User"] == "1000:1000"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    restart = "no" if service == "export" else "unless-stopped"
    assert host["RestartPolicy"]["Name"] == restart


def test_triton_is_closed_from_outside(stack: Stack) -> None:
    details = stack.inspect("triton")
    assert not any(details["NetworkSettings"]["Ports"].values())
    # Nor from another network of the same engine; the proxy reaches it.
    (address,) = (network["IPAddress"] for network in details["NetworkSettings"]["Networks"].values())
    for port in TRITON_PORTS[:2]:
        question = f"curl -s -o /dev/null --max-time 3 -w %{{http_code}} http://{address}:{port}/ || true"
        image = f"uhok-ml-inference:{TAG}"
        assert engine("run", "--rm", "--network=bridge", image, "sh", "-c", question).strip() == "000"
        assert stack.execute("ml-inference", "sh", "-c", question).strip() != "000"
    assert {binding["HostIp"] for binding in stack.inspect("ml-inference")["NetworkSettings"]["Ports"]["8001/tcp"]} == {
        "127.0.0.1"
    }


def test_an_override_publishes_tritons_ports_on_loopback(stack: Stack) -> None:
    http, grpc, metrics = map(str, free_ports(3))
    files = "docker-compose.yml:docker-compose.triton-ports.yml"
    ports = {"TRITON_HTTP_PORT": http, "TRITON_GRPC_PORT": grpc, "TRITON_METRICS_PORT": metrics}
    with changed(stack, COMPOSE_FILE=files, **ports):
        stack.make("up-ml")
        published = stack.inspect("triton")["NetworkSettings"]["Ports"]
        assert {
            (port, binding["HostIp"], binding["HostPort"]) for port in published for binding in published[port]
        } == {
            ("8000/tcp", "127.0.0.1", http),
            ("8002/tcp", "127.0.0.1", metrics),
            ("8003/tcp", "127.0.0.1", grpc),
        }
        assert httpx.get(f"http://127.0.0.1:{http}/v2/models/sentence_embedding/ready").status_code == 200
    stack.make("up-ml")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{http}/v2/health/ready")


def test_a_second_up_exports_nothing(stack: Stack) -> None:
    before, containers = stack.exported(), stack.containers()
    stack.make("up-ml")
    assert stack.exported() == before
    assert stack.containers() == containers, "nothing that runs was replaced"


def test_a_killed_triton_comes_back(stack: Stack) -> None:
    vector = stack.embed("갈비탕").json()["embedding"]
    restarts = stack.inspect("triton")["RestartCount"]
    kill_process(stack, "triton", "tritonserver")
    wait_until(lambda: stack.inspect("triton")["RestartCount"] > restarts)
    answer = stack.embed("갈비탕")
    assert answer.status_code in (200, 503)
    wait_until(stack.health)
    assert stack.embed("갈비탕").json()["embedding"] == pytest.approx(vector, abs=1e-6)


def test_a_killed_proxy_comes_back(stack: Stack) -> None:
    restarts = stack.inspect("ml-inference")["RestartCount"]
    # SIGTERM, since the kernel spares the first process of a container what it does not handle; it ends all the same.
    stack.execute("ml-inference", "sh", "-c", "kill 1")
    wait_until(lambda: stack.inspect("ml-inference")["RestartCount"] > restarts)
    wait_until(stack.health)


def test_a_stop_is_heeded(stack: Stack) -> None:
    for service in SERVICES:
        engine("stop", stack.container(service))
        assert stack.inspect(service)["State"]["ExitCode"] != 137, "the engine had to kill it"
    engine("start", *(stack.container(service) for service in SERVICES))
    wait_until(stack.health)


def test_everything_comes_back_when_the_containers_are_restarted(stack: Stack) -> None:
    health, exported = stack.health(), stack.exported()
    engine("restart", *stack.containers())
    wait_until(stack.health)
    assert (stack.health(), stack.exported()) == (health, exported)
    assert stack.embed("갈비탕").status_code == 200


def test_upgrade_and_roll_back_of_the_model(stack: Stack) -> None:
    version, exported = stack.health()["version"], stack.exported()
    with Load(stack.url, patient=True) as load:
        with changed(stack, PRECISION="int8"):
            stack.make("restart-ml")
        assert stack.health()["version"] == version.replace("float32", "int8")
        with Load(stack.url) as later:  # after the restart nothing fails any more
            wait_until(lambda: later.answered() > 20)
        # Back by one setting, and to the export that is still there.
        stack.make("restart-ml")
    assert set(later.answers) == {200}
    assert later.versions == {version.replace("float32", "int8")}
    assert (stack.health()["version"], stack.exported()) == (version, exported)
    assert load.versions == {version, version.replace("float32", "int8")}
    assert load.unanswered <= 2, "what was asked when the test ended"
    assert set(load.answers) <= {200, 503, "ConnectError", "ReadError", "RemoteProtocolError"}, load.answers


def test_another_precision_goes_live_and_back_without_a_refused_request(stack: Stack) -> None:
    version = stack.health()["version"]
    other = version.replace("float32", "float16")
    with Load(stack.url, clients=4) as load:
        with changed(stack, PRECISION="float16"):
            stack.make("reload-ml")
        wait_until(lambda: stack.health()["version"] == other)
        stack.make("reload-ml")
        wait_until(lambda: stack.health()["version"] == version)
    assert set(load.answers) == {200}
    assert load.versions == {version, other}


def test_upgrade_and_roll_back_of_the_images(stack: Stack) -> None:
    exported = stack.exported()
    for image in ("uhok-ml-inference", "uhok-ml-triton", "uhok-ml-export"):
        engine("tag", f"{image}:{TAG}", f"{image}:{TAG}-next")
    try:
        for tag in (f"{TAG}-next", TAG):
            with changed(stack, IMAGE_TAG=tag):
                stack.make("restart-ml")
                assert stack.inspect("ml-inference")["Config"]["Image"] == f"uhok-ml-inference:{tag}"
                assert stack.inspect("triton")["Config"]["Image"] == f"uhok-ml-triton:{tag}"
                assert stack.embed("갈비탕").status_code == 200
    finally:
        engine("rmi", *(f"{image}:{TAG}-next" for image in ("uhok-ml-inference", "uhok-ml-triton", "uhok-ml-export")))
    assert stack.exported() == exported


def test_the_original_s_network_and_names(stack: Stack) -> None:
    if engine("ps", "--all", "--quiet", "--filter", "name=^uhok-ml-inference$"):
        pytest.skip("a container of that name is there already")
    network = f"{stack.project}-outer"
    engine("network", "create", network)
    try:
        with changed(stack, COMPOSE_FILE="docker-compose.yml:docker-compose.uhok-net.yml", UHOK_NETWORK=network):
            stack.make("up-ml")
        assert stack.inspect("ml-inference")["Name"] == "/uhok-ml-inference"
        question = ("curl", "-fsS", "http://ml-inference:8001/health")
        assert '"status":"ok"' in engine("run", "--rm", f"--network={network}", f"uhok-ml-inference:{TAG}", *question)
        assert list(stack.inspect("triton")["NetworkSettings"]["Networks"]) == [f"{stack.project}_default"]
    finally:
        stack.make("up-ml")
        engine("network", "rm", network)


def test_without_its_model_nothing_is_served(images: str, new_stack: NewStack) -> None:
    assert images
    stack = new_stack(MODEL="", EXPECTED_MODEL="")
    done = stack.make("up-ml", check=False)
    assert done.returncode != 0
    assert stack.inspect("export")["State"]["ExitCode"] == 1
    assert "MODEL=sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2" in stack.logs("export")
    assert "ANOTHER model" not in stack.logs("export")
    assert stack.containers() == []


def test_down_keeps_the_volumes_unless_asked(images: str, new_stack: NewStack) -> None:
    assert images
    stack = new_stack()
    stack.make("up-ml")
    stack.make("down-ml")
    left = stack.leftovers()
    assert (left["containers"], left["networks"]) == ([], [])
    assert len(left["volumes"]) == 3
    stack.make("down-ml", VOLUMES="1")
    assert stack.leftovers() == {"containers": [], "networks": [], "volumes": []}

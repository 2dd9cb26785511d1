"""`python -m bench.where`: where a query's time goes, as a table that adds up. What `make where-time-goes` calls."""

import http.client
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from bench import kernel_counts, machine, stage_counts, where_tables
from bench.forward import BareForward
from bench.load import checked, load, sequence, tool
from bench.parts import REQUESTS, Watched, parts
from bench.processes import arguments, role, tree
from bench.report import rewrite_section
from bench.services import ROOT, SUBJECTS, Service, prepare, repository, running
from bench.texts import Queries
from export.settings import Settings

PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- where: written by make where-time-goes -->"
END = "<!-- /where -->"

QUERIES = 1000  # of one client
SECONDS = 8  # of 16 clients
SETTLE_SECONDS = 1  # for the calls that the load before has left under way
EXCHANGES = 300
FORWARDS = 150  # of one text, after each pause
JOINED_FORWARDS = 30  # of the texts of 16 clients' calls
PAUSES = (0.0, 0.002, 0.005, 0.02)  # seconds
_ENCODER_SETTINGS = re.compile(r"OMP|MKL|OPENBLAS|MALLOC|GLIBC|ENCODER_")


def main() -> int:
    """Measures, prints, and writes both pages."""
    crowd = os.getloadavg()[0]
    subject, precision = SUBJECTS["stand-in"], Settings.model_fields["precision"].default
    prepare(subject, [precision])
    queries = Queries()
    with running(subject, precision) as service:
        environment = encoder_environment(service)
        triton_port = int(environment["TRITON_HTTP_PORT"])
        checked(load(service, 16, 3, queries))  # warms up
        one = watch(service, triton_port, lambda: _one_client(service, queries))
        sixteen = watch(service, triton_port, lambda: _clients(service, 16, queries))
        exchange = exchange_seconds(triton_port, one.wall)
    settings = {name: value for name, value in environment.items() if _ENCODER_SETTINGS.search(name)}
    with BareForward(repository(subject, precision), "bench.step_forward", {**os.environ, **settings}) as forward:
        pauses = [(pause, *_forward(forward, queries.take(FORWARDS), 1, pause)) for pause in PAUSES]
        columns = [add_up(each, exchange, forward, queries) for each in (one, sixteen)]
    publish(one, sixteen, where_tables.of_parts(*columns), where_tables.of_forwards(pauses), precision, crowd)
    return 0


def publish(one: Watched, sixteen: Watched, adds_up: str, forwards: str, precision: str, crowd: float) -> None:
    """Prints the tables, and writes the page of this processor and the section of docs/architecture.md.

    `crowd`: the load average before the run; what else uses the cores is in every row.
    """
    found = machine.describe()
    about = (
        f"{machine.sentence(found)}; {precision}; load from {tool()}; load average {crowd:.1f} before. "
        f"The encoder's process has a call for {one.busy:.0%} of the time with one client, and for {sixteen.busy:.0%} "
        f"with 16, whose calls have {sixteen.call_texts:.0f} texts."
    )
    tables = [adds_up, where_tables.of_processes(one, sixteen), forwards]
    page = ROOT / "docs" / "benchmarks" / f"where-{machine.file_name(found['processor'])}.md"
    content = "\n\n".join(["# Where a query's time goes: `make where-time-goes`", about, *tables])
    page.write_text(f"{content}\n", encoding="utf-8")
    link = (
        f"What the processes wait for, and the forward after pauses: [benchmarks/{page.name}](benchmarks/{page.name})."
    )
    rewrite_section(PAGE, f"{about}\n\n{adds_up}\n\n{link}", BEGIN, END)
    print(f"\n{content}\n\nwritten to {page.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")


def watch(service: Service, triton_port: int, ask: Callable[[], float]) -> Watched:
    """What the queries did that `ask` sends; it returns what a client waited for one, on average."""
    time.sleep(SETTLE_SECONDS)
    told, processes = stage_counts.read(service, triton_port), kernel_counts.counts(service.process.pid)
    begun = time.perf_counter()
    wall = ask()
    elapsed = time.perf_counter() - begun
    done = kernel_counts.counts(service.process.pid)
    told = stage_counts.since(stage_counts.read(service, triton_port), told)
    each = {name: (now - processes[name]) / told[REQUESTS] for name, now in done.items()}
    return Watched(wall, elapsed / told["encoder calls"], told, each)


def add_up(watched: Watched, exchange: float, forward: BareForward, queries: Queries) -> dict[str, float]:
    """The parts, with the forward alone at the pace of these calls."""
    texts = round(watched.call_texts)
    count = texts * (JOINED_FORWARDS if texts > 1 else FORWARDS)
    pause = watched.period * (1 - watched.busy)
    warm, paced = (_forward(forward, queries.take(count), texts, each)[0] for each in (0.0, pause))
    return parts(watched, exchange, warm, paced)


def exchange_seconds(port: int, period: float) -> float:
    """What a request without work takes on a kept connection to Triton, one each `period` seconds; the mean."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    taken = []
    for _ in range(EXCHANGES):
        time.sleep(period)
        begun = time.perf_counter()
        connection.request("GET", "/v2/health/live")
        connection.getresponse().read()
        taken.append(time.perf_counter() - begun)
    connection.close()
    return mean(taken)


def encoder_environment(service: Service) -> dict[str, str]:
    """The environment of the encoder's process."""
    for process in tree(service.process.pid):
        if role(arguments(process)) == "stub: encoder":
            pairs = Path(f"/proc/{process}/environ").read_text(errors="replace").split("\0")
            return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    raise RuntimeError("the service has no process of the encoder")


def _forward(forward: BareForward, texts: list[str], call_texts: int, pause: float) -> list[float]:
    return forward.ask({"texts": texts, "call_texts": call_texts, "pause": pause})


def _one_client(service: Service, queries: Queries) -> float:
    bodies = [service.single_body(text) for text in queries.take(QUERIES)]
    return mean(sequence(service, service.single_path, bodies))


def _clients(service: Service, clients: int, queries: Queries) -> float:
    return checked(load(service, clients, SECONDS, queries)).mean


if __name__ == "__main__":
    sys.exit(main())

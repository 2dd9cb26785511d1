"""`python -m bench.scaling`: what 1,000 and 100,000 queries a second need and cost, worked out from measured figures.

Nothing is measured here. What the results do not hold is an assumption, and each one can be given another value.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.page import FOLDER
from bench.report import as_markdown, as_text, number, rewrite_section
from bench.services import PEERS, ROOT
from bench.texts import CATALOGUE_MEAN

RESULTS = FOLDER / "stand-in-intel-xeon-processor.json"  # of the processors measured the slower one
PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- scaling: written by python -m bench.scaling --write -->", "<!-- /scaling -->"

TARGETS = (1_000, 100_000)  # queries a second
HOURS_PER_MONTH = 730
CLIENTS = 16  # of the measurement whose rate counts as a pod's
BATCH_TEXTS = 100
DIMENSION = 384  # of the default model's vectors
_VERSION = "paraphrase-multilingual-MiniLM-L12-v2@86741b4e3f5c-float16"


@dataclass(frozen=True)
class Assumption:
    """A figure that was not measured here."""

    value: float
    unit: str
    meaning: str


ASSUMPTIONS = {
    "core-hour": Assumption(
        0.0425,
        "$",
        "a core for an hour: an example in the EC2 Auto Scaling guide has c5.2xlarge (8 vCPUs, 16 GiB, US East, on "
        "demand) at $0.34 (docs.aws.amazon.com/autoscaling/ec2/userguide, read in November 2026); look up your own",
    ),
    "utilisation": Assumption(0.6, "", "share of a pod's rate that is used: the autoscaler's target"),
    "zone-gb": Assumption(
        0.02, "$", "a GB between two zones, both directions' $0.01 together (AWS, read in November 2026)"
    ),
    "other-zone": Assumption(2 / 3, "", "share of answers that go to another of three zones"),
    "search-ms": Assumption(
        2.0,
        "ms",
        "of one core for a nearest-neighbour search in pgvector: of the order of published figures for some 100,000 "
        "rows; it depends on table and index, so measure yours",
    ),
    "weights-gb": Assumption(0.47, "GB", "the default model's file of weights, that an export downloads"),
}


@dataclass(frozen=True)
class Measured:
    """What one precision's results say, on `cores` cores. Rates are requests a second."""

    precision: str
    cores: int
    rate: float  # short queries, 16 clients, no cache
    zipf_rate: float  # the Zipf query log, 16 clients, cache on
    zipf_hits: float  # share of that log that the cache answers, expected
    tokens_per_second: float  # batches of the catalogue's entries
    memory_mb: float
    ready_seconds: float

    @classmethod
    def read(cls, document: dict[str, Any]) -> "list[Measured]":
        """Every precision of ours in the JSON of a run.

        Raises `KeyError` for a run without one of the measures.
        """
        medians = {
            row["key"]: {name: spread["median"] for name, spread in row["values"].items()} for row in document["rows"]
        }
        plan = document["plan"]
        return [
            cls(
                precision=name,
                cores=document["machine"]["cores"],
                rate=medians["rate_16"][name],
                zipf_rate=medians["zipf_rate"][name],
                zipf_hits=hit_share(
                    plan["log_texts"], plan["log_requests"], medians["zipf_rate"][name] * plan["log_seconds"]
                ),
                tokens_per_second=BATCH_TEXTS * CATALOGUE_MEAN / medians["batch_s"][name],
                memory_mb=medians["memory_mb"][name],
                ready_seconds=medians["ready_s"][name],
            )
            for name in medians["rate_16"]
            if name not in PEERS
        ]


def hit_share(texts: int, before: float, requests: float) -> float:
    """The expected share of `requests` that repeat a text, after `before` earlier ones, all drawn by Zipf's law.

    The text of rank r of `texts` comes with probability p = 1/(r H); after k requests it was asked with 1 - (1 - p)^k.
    """
    weights = 1 / np.arange(1, texts + 1)
    missing = 1 - weights / weights.sum()
    first_asked = (missing**before - missing ** (before + requests)).sum()
    return float(1 - first_asked / requests)


def answer_bytes(dimension: int = DIMENSION) -> int:
    """Of the JSON of one `/embed` answer, without HTTP's headers: a random unit vector in shortest float32 digits."""
    vector = np.random.default_rng(0).standard_normal(dimension)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    values = ",".join(str(value) for value in vector)
    return len(f'{{"embedding":[{values}],"dim":{dimension},"version":"{_VERSION}"}}')


@dataclass(frozen=True)
class Need:
    """What one target asks of one precision."""

    target: int
    precision: str
    pods: int
    cores: int
    memory_gb: float
    dollars: float  # a month
    cached_pods: int
    cached_dollars: float  # a month
    under_way: float  # requests at one moment, by Little's law
    gbit_per_second: float
    zone_dollars: float  # a month
    search_cores: float
    download_gb: float  # in one roll-out in which every pod exports for itself


def need(target: int, measured: Measured, given: dict[str, float]) -> Need:
    """`given`: a value for each of `ASSUMPTIONS`."""
    pods = math.ceil(target / (measured.rate * given["utilisation"]))
    cached_pods = math.ceil(target / (measured.zipf_rate * given["utilisation"]))
    monthly = measured.cores * given["core-hour"] * HOURS_PER_MONTH
    bytes_per_second = target * answer_bytes()
    return Need(
        target=target,
        precision=measured.precision,
        pods=pods,
        cores=pods * measured.cores,
        memory_gb=pods * measured.memory_mb / 1e3,
        dollars=pods * monthly,
        cached_pods=cached_pods,
        cached_dollars=cached_pods * monthly,
        under_way=target * CLIENTS / measured.rate,
        gbit_per_second=bytes_per_second * 8 / 1e9,
        zone_dollars=bytes_per_second / 1e9 * 3600 * HOURS_PER_MONTH * given["other-zone"] * given["zone-gb"],
        search_cores=target * given["search-ms"] / 1e3 / given["utilisation"],
        download_gb=pods * given["weights-gb"],
    )


def measured_table(found: Sequence[Measured], given: dict[str, float]) -> list[list[str]]:
    """One column for each precision."""
    per_million = [1e6 / (one.rate / one.cores * given["utilisation"]) / 3600 * given["core-hour"] for one in found]
    return [
        ["a pod", *(one.precision for one in found)],
        ["cores", *(str(one.cores) for one in found)],
        ["short queries a second", *(number(one.rate, 0) for one in found)],
        ["… for each core", *(number(one.rate / one.cores, 0) for one in found)],
        ["tokens a second for each core, catalogue", *(number(one.tokens_per_second / one.cores, 0) for one in found)],
        ["Zipf log a second, cache on", *(number(one.zipf_rate, 0) for one in found)],
        ["… of it answered from memory, expected", *(f"{one.zipf_hits:.0%}" for one in found)],
        ["memory, MB", *(number(one.memory_mb, 0) for one in found)],
        ["start to ready, s", *(number(one.ready_seconds, 1) for one in found)],
        ["$ for a million short queries, no cache", *(number(dollars, 2) for dollars in per_million)],
    ]


def need_table(found: Sequence[Need]) -> list[list[str]]:
    """One column for each target and precision."""
    lines = [["", *(f"{number(one.target, 0)}/s, {one.precision}" for one in found)]]
    for label, digits, name in (
        ("pods, no cache", 0, "pods"),
        ("cores", 0, "cores"),
        ("memory, GB", 0, "memory_gb"),
        ("$ a month", 0, "dollars"),
        ("pods, each text as often as in the Zipf log", 0, "cached_pods"),
        ("… $ a month", 0, "cached_dollars"),
        ("requests under way at one moment", 0, "under_way"),
        ("answers, Gbit/s", 2, "gbit_per_second"),
        ("answers to other zones, $ a month", 0, "zone_dollars"),
        ("cores for the searches that follow", 0, "search_cores"),
        ("download of a roll-out with no shared volume, GB", 0, "download_gb"),
    ):
        lines.append([label, *(number(getattr(one, name), digits) for one in found)])
    return lines


def assumption_table(given: dict[str, float]) -> list[list[str]]:
    """Each assumption with the value that was taken."""
    lines = [["assumption", "value", "what it is"]]
    return lines + [
        [f"`--{name}`", f"{given[name]:.4g} {one.unit}".rstrip(), one.meaning] for name, one in ASSUMPTIONS.items()
    ]


def tables(document: dict[str, Any], given: dict[str, float] | None = None) -> list[list[list[str]]]:
    """What is measured, what is assumed and what follows."""
    given = {name: one.value for name, one in ASSUMPTIONS.items()} | (given or {})
    found = Measured.read(document)
    needs = [need(target, one, given) for target in TARGETS for one in found]
    return [measured_table(found, given), assumption_table(given), need_table(needs)]


def section(document: dict[str, Any]) -> str:
    """The marked part of docs/scaling.md."""
    found = document["machine"]
    about = f"Measured on {found['processor']}, {found['cores']} cores, at commit {found['commit']}:"
    measured, assumed, needed = (as_markdown(lines) for lines in tables(document))
    return "\n\n".join(
        [about, measured, "Assumed:", assumed, f"Needed, an answer being {number(answer_bytes(), 0)} bytes:", needed]
    )


def rewrite(document: dict[str, Any], page: Path = PAGE) -> None:
    """Puts the tables of these results into the page."""
    rewrite_section(page, section(document), BEGIN, END)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; with `--write` puts those of the standing assumptions into docs/scaling.md."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--write", action="store_true", help="write docs/scaling.md, with the assumptions as they stand"
    )
    for name, one in ASSUMPTIONS.items():
        parser.add_argument(f"--{name}", type=_positive, metavar="N", help=f"{one.meaning} ({one.value:.4g})")
    options = vars(parser.parse_args(arguments))
    given = {name: value for name in ASSUMPTIONS if (value := options[name.replace("-", "_")]) is not None}
    if options["write"] and given:
        parser.error("--write takes the assumptions as they stand in bench/scaling.py; change them there")
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    print("\n\n".join(as_text(lines) for lines in tables(document, given)))
    if options["write"]:
        rewrite(document)
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())

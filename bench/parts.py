"""The parts of a query's time between client and vector; they add up to what the client waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from bench.kernel_counts import Counts
from bench.stage_counts import ENSEMBLE, STEPS

NOT_FOUND = "not found"

_STAGE = "embedding_stage_duration_seconds"
REQUESTS = f'{_STAGE}_count{{stage="proxy"}}'  # those that were embedded
STAGES = ("proxy", "queue", "triton", "tokenize", "encode", "pool")


@dataclass(frozen=True)
class Watched:
    """What some queries did."""

    wall: float  # seconds that a client waited for one, on average
    period: float  # seconds from one call of the encoder to the next, on average
    told: Mapping[str, float]  # what `stage_counts` added up over them
    processes: Mapping[str, Counts]  # of one query, by what each does

    @property
    def call_texts(self) -> float:
        """Texts of the call that a query is in, on average over queries."""
        return self.told["encoder texts × texts"] / self.told["encoder texts"]

    @property
    def busy(self) -> float:
        """The part of the time in which the encoder's process had a call, from 0 to 1."""
        return self.told["encoder compute_infer"] / self.told["encoder calls"] / self.period


def parts(watched: Watched, exchange: float, warm: float, paced: float) -> dict[str, float]:
    """Seconds of one query in each part; their sum is what a client waits on average.

    `exchange`: an HTTP exchange with Triton without work. `warm`, `paced`: the encoder's forward alone, call after call
    and at the service's pace. What the client waits, the proxy and the work in the steps are means over queries; the
    rest of Triton is a mean over calls.
    """
    wall, told = watched.wall, watched.told
    stage = {name: told.get(f'{_STAGE}_sum{{stage="{name}"}}', 0.0) / told[REQUESTS] for name in STAGES}

    def of_calls(model: str, part: str) -> float:
        return told[f"{model} {part}"] / told[f"{model} calls"]

    queue, work = (sum(of_calls(step, part) for step in STEPS) for part in ("queue", "compute_infer"))
    infer = {step: told[f"{step} infer × texts"] / told[f"{step} texts"] for step in STEPS}
    # The encoder cannot tell when its work begins and ends (it may be LibTorch's), so its way is taken to be as long.
    ways = [infer["tokenizer"] - stage["tokenize"], infer["pooling"] - stage["pool"]]
    way = mean(ways)
    found = {
        "client ↔ proxy: HTTP, kernel, wake-ups": wall - sum(stage.values()),
        "proxy: its own work": stage["proxy"],
        "proxy: waits for the call under way": stage["queue"],
        "proxy ↔ Triton: an HTTP exchange without work": exchange,
        "Triton: until the steps' threads take their calls": queue,
        "Triton: from step to step, tensors in shared memory": of_calls(ENSEMBLE, "success") - queue - work,
        "three ways to a step's process and back": sum(ways) + way,
        "tokenizer": stage["tokenize"],
        "encoder: the bare forward, call after call": warm,
        "encoder: more after a pause": paced - warm,
        "encoder: more beside the service": infer["encoder"] - way - paced,
        "pooling": stage["pool"],
    }
    return {**found, NOT_FOUND: wall - sum(found.values())}

"""How much each part measures: the full run that is published, and the quick look."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Counts are of requests, seconds are of load."""

    name: str
    rounds: int  # of every alternating measurement
    peers: bool  # whether those that are installed take part
    warm_up: int  # short queries and a tenth as many batches, before anything is counted
    latency_requests: int  # one after another, ours, in one round
    latency_requests_peers: int
    load_seconds: int  # of one run with several clients
    batches: int  # of 100 texts in one round
    memory_requests: int  # before the memory of ours is read
    memory_requests_peers: int
    forwards: int  # bare forwards in one round
    joined_forwards: int  # of 16 texts each, in one round
    client_counts: tuple[int, ...]  # of the chart
    client_seconds: int  # of load for each of them
    token_counts: tuple[int, ...]  # of the chart, special tokens included
    token_repeats: int
    mixed_rounds: int  # of: short queries alone, then beside a batch in a loop
    log_texts: int  # distinct texts that the Zipf-distributed log draws from
    log_requests: int  # of it, by one client
    log_seconds: int  # of it, by 16 clients


FULL = Plan(
    name="full",
    rounds=5,
    peers=True,
    warm_up=60,
    latency_requests=400,
    latency_requests_peers=60,
    load_seconds=5,
    batches=2,
    memory_requests=10_000,
    memory_requests_peers=1_000,
    forwards=200,
    joined_forwards=30,
    client_counts=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    client_seconds=2,
    token_counts=(3, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_560, 5_120, 12_800),
    token_repeats=3,
    mixed_rounds=3,
    log_texts=2_000,
    log_requests=1_000,
    log_seconds=3,
)

QUICK = Plan(
    name="quick",
    rounds=2,
    peers=False,
    warm_up=20,
    latency_requests=100,
    latency_requests_peers=20,
    load_seconds=2,
    batches=1,
    memory_requests=400,
    memory_requests_peers=60,
    forwards=60,
    joined_forwards=10,
    client_counts=(1, 16, 256),
    client_seconds=1,
    token_counts=(3, 16, 128, 1_024, 12_800),
    token_repeats=1,
    mixed_rounds=1,
    log_texts=1_000,
    log_requests=200,
    log_seconds=1,
)

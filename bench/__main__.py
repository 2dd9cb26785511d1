"""`python -m bench`: the whole benchmark; `--quick` for a look. What `make bench` and `make bench-quick` call."""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict

from tokenizers import Tokenizer

from bench import load, machine, page, peers, report, scaling
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
    parser.add_argument("--quick", action="store_true", help="fewer rounds, the baseline alone; does not touch docs/")
    parser.add_argument("--model", choices=SUBJECTS, default="stand-in", help="what all services serve")
    options = parser.parse_args()
    return run(SUBJECTS[options.model], QUICK if options.quick else FULL)


def run(subject: Subject, plan: Plan) -> int:
    """Measures, prints the tables and writes the files; the full run's to docs/."""
    ours = list(dict.fromkeys([Settings.model_fields["precision"].default, "int8"]))
    prepare(subject, ours)
    results = Results()
    names = ["baseline", *(taking_part(subject, results) if plan.peers else []), *ours]
    measure(subject, plan, names, ours, results)
    return publish(subject, plan, ours, results)


def taking_part(subject: Subject, results: Results) -> list[str]:
    """The peers that are installed and serve the model; each other one that could is told."""
    could = [peer for peer in peers.PEERS if peer.serves(subject.name)]
    for peer in could:
        if not peer.installed:
            results.notes.append(f"{peer.name} takes no part: install it with `make bench-peers`.")
            print(results.notes[-1], flush=True)
    return [peer.name for peer in could if peer.installed]


def measure(subject: Subject, plan: Plan, names: list[str], ours: list[str], results: Results) -> None:
    """Every part in order; none stops the others."""
    queries = Queries()
    for name in names:
        with results.part(f"alone: {name}", optional=name in peers.NAMES):
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
    """The stand-in's cost is the default model's: charts are drawn from it alone."""
    return subject.name == "stand-in"


def publish(subject: Subject, plan: Plan, ours: list[str], results: Results) -> int:
    """Prints and writes what was measured; the exit code."""
    folder = page.FOLDER if plan is FULL else subject.work / plan.name
    found, client, seconds = machine.describe(), load.tool(), results.elapsed
    about = {"model": subject.name, "machine": found, "client": client, "plan": asdict(plan), "seconds": seconds}
    document = report.document(results, ours, about)
    file = page.file_of(subject.name, found["processor"], folder)
    run = page.Run.of(subject.name, document)
    with results.part("charts"):
        page.draw(run, folder)
    report.write_json(file, document)
    print("\n" + "\n\n".join(map(report.as_text, run.tables())))
    print(f"\n{run.about}; written to {file.relative_to(ROOT)}")
    if plan is FULL:
        page.rewrite(subject.name)
        if file == scaling.RESULTS:
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

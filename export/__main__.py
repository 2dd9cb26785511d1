"""`python -m export`: exports the model that the settings name; see README, "Change the model"."""

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from export.errors import ExportError, HubUnreachable
from export.placement import ensure_exported
from export.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done or nothing to do, 1 an error of the model, the hub or the disk, 2 a bad setting."""
    parser = argparse.ArgumentParser(prog="python -m export", description="Exports MODEL to a Triton model repository.")
    parser.add_argument("--if-needed", action="store_true", help="do nothing where this model is exported already")
    parser.add_argument("--fallback", metavar="MODEL", help="export this where the hub cannot be reached")
    options = parser.parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors():
            print(f"error: {str(problem['loc'][0]).upper()}: {problem['msg']}.", file=sys.stderr)
        return 2
    try:
        try:
            ensure_exported(settings, if_needed=options.if_needed)
        except HubUnreachable as error:
            if options.fallback is None:
                raise
            _warn(str(error), options.fallback)
            fallback = settings.model_copy(update={"model": options.fallback, "model_revision": ""})
            ensure_exported(fallback, if_needed=options.if_needed)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _warn(reason: str, fallback: str) -> None:
    line = "=" * 100
    print(
        f"{line}\nWARNING: {reason}\n\nGoing on with ANOTHER model, {fallback}. Its vectors cannot be compared with "
        f"those of the model asked for.\n{line}",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

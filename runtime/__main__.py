"""`python -m runtime`: runs the service in the foreground; what `make run` calls."""

import asyncio
import io
import signal
import sys
from collections.abc import Sequence

from runtime.errors import RuntimeStopped
from runtime.launcher import EXPORT_COMMAND, Launcher
from runtime.layout import lay_out
from runtime.ports import check_ports
from runtime.settings import PROJECT_ROOT, load_settings
from runtime.wheel import find_libpython, find_wheel


def main(export_command: Sequence[str] = EXPORT_COMMAND) -> int:
    """Exit codes: 0 stopped by SIGTERM or SIGINT, 2 a bad setting, 1 or the export's own when the start failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the launcher listens to both itself
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", line_buffering=True)  # whatever the locale: the curl line is Korean
    try:
        settings = load_settings()
        check_ports(settings.listeners)
        wheel = find_wheel()
        layout = lay_out(wheel, find_libpython(), PROJECT_ROOT / "build" / "triton")
        return asyncio.run(Launcher(settings, wheel, layout, export_command, announce=print, tell=_tell).run())
    except RuntimeStopped as error:
        _tell(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 0  # nothing was started yet


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

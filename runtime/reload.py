"""`python -m runtime.reload`: has the running service serve the export in force; what `make reload` ends with."""

import asyncio
import sys

from runtime.control import tell_to_reload
from runtime.errors import RuntimeStopped
from runtime.launch_folder import service_folder
from runtime.settings import load_settings


def main() -> int:
    """Exit codes: 0 done or nothing to do, 2 a bad setting, 1 where the service goes on with what it served."""
    try:
        settings = load_settings()
        print(asyncio.run(tell_to_reload(service_folder(settings.triton_http_port))))
    except RuntimeStopped as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

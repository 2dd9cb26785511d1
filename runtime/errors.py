"""What stops a start: one sentence each, for the person who typed `make run`.

RuntimeStopped
├── InvalidSettings   a setting that cannot be used (exit code 2)
├── PortTaken         another process listens where one of ours should
├── TritonMissing     the wheel, the stub or libpython cannot be found or used
├── ChildFailed       Triton or the proxy ended again and again before it was ever up
├── RepositoryChanged the model's files are not those that the export wrote
├── ReloadFailed      another model could not take the place of the one that serves, which goes on
└── NotReady          START_TIMEOUT_SECONDS passed, or there is nothing to serve
"""


class RuntimeStopped(Exception):
    """The service cannot start or go on; the message is one sentence."""

    exit_code = 1


class InvalidSettings(RuntimeStopped):
    """A setting that cannot be used; the message names the variable and says what would be right."""

    exit_code = 2


class PortTaken(RuntimeStopped):
    """A port cannot be listened on; the message names the port and its setting."""


class TritonMissing(RuntimeStopped):
    """A part of the embedded Triton cannot be found or used; the message says what brings it."""


class ChildFailed(RuntimeStopped):
    """A child ended too often before it was ever up; the message carries its last error."""


class RepositoryChanged(RuntimeStopped):
    """A file of the repository is missing, changed or none of the export's; the message names it."""


class ReloadFailed(RuntimeStopped):
    """Triton did not load the new model; the message says why. What served before goes on."""


class NotReady(RuntimeStopped):
    """The service cannot answer; the message says what is missing."""

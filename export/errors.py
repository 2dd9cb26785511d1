"""What can go wrong in an export.

ExportError                 each message is one sentence for the user
├── ModelNotFound           MODEL names nothing that is there
├── HubUnreachable          MODEL is a hub id, the cache lacks it, and the hub does not answer
├── UnsupportedModel        the model is there, and is none that this exporter handles
├── VerificationFailed      the TorchScript does not give the original's token embeddings
└── RepositoryNotWritten    the finished repository could not be put in place
"""


class ExportError(Exception):
    """The base of all that an export raises on purpose."""


class ModelNotFound(ExportError):
    """MODEL names no folder, package or hub repository."""


class HubUnreachable(ExportError):
    """The Hugging Face hub does not answer, and its cache here lacks the model."""


class UnsupportedModel(ExportError):
    """An architecture, pooling or file that this exporter does not handle; the message names it."""


class VerificationFailed(ExportError):
    """The exported graph differs from the original model by more than the tolerance."""


class RepositoryNotWritten(ExportError):
    """A folder is not writable or the disk is full."""

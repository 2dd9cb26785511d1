"""What can go wrong while texts are embedded, in the domain's own terms: no HTTP, no Triton.

EmbeddingError
├── EngineUnavailable      away, not ready, or gone in the middle of an answer; asking again soon may work
│   ├── EngineOverloaded   there, and with more to do than it takes on
│   ├── UnexpectedModel    there, and serving another model than the one that is wanted
│   └── OutdatedExport     there, and serving an export whose answers do not say whose they are
├── ServiceFull            as many texts are in hand as the service takes on
├── DeadlineExceeded       no answer in the time that a request has
├── EngineFailed           an answer, and not one that can be used
└── InvalidText            the engine does not take the text

Each carries one sentence for the client: never a traceback, a path, an address or a text that was sent.
"""


class EmbeddingError(Exception):
    """The root of all that is raised on purpose while texts are embedded."""


class EngineUnavailable(EmbeddingError):
    """The engine is away, not ready, or went away before its answer was complete."""


class EngineOverloaded(EngineUnavailable):
    """The engine turned the request away because too many wait already."""


class UnexpectedModel(EngineUnavailable):
    """The engine serves another model than `EXPECTED_MODEL`; its vectors must not be mixed with that one's."""


class OutdatedExport(EngineUnavailable):
    """The engine's export is older than this proxy: its answers carry no identity, or not all outputs."""

    def __init__(
        self, sentence: str = "The engine's model was made by an older export: run `make export`, then `make reload`."
    ) -> None:
        super().__init__(sentence)


class ServiceFull(EmbeddingError):
    """The request would make more texts in hand than the service takes on; nothing of it was begun."""


class DeadlineExceeded(EmbeddingError):
    """The engine did not answer in the time that the request had."""


class EngineFailed(EmbeddingError):
    """The engine answered with a failure of its own, or with something that is not what it promised."""


class InvalidText(EmbeddingError):
    """The engine refused a text as one that cannot be tokenized, or token ids that its vocabulary does not have."""

    text: object = None  # the one that was refused, where that is known; its place differs from call to call

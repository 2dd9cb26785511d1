"""Which model is served."""

from dataclasses import dataclass, field

from proxy.embedding.canary import Canary

# As much of a commit hash as tells any two revisions apart.
_REVISION_CHARACTERS = 12


@dataclass(frozen=True)
class ServedModel:
    """The model behind the vectors, as the export wrote it into the ensemble's parameters."""

    name: str  # the model's own, "paraphrase-multilingual-MiniLM-L12-v2"; never that of a Triton model
    revision: str  # a commit, or a hash of the files where there is none
    dimension: int  # components of a vector
    max_seq_length: int  # tokens, the special ones counted; longer texts are truncated
    normalizes: bool  # whether the model itself puts out unit vectors
    precision: str  # of the weights: float32, float16 or int8
    max_batch_size: int  # texts that Triton takes in one request; 0 where the ensemble has no batch dimension
    canary: Canary | None = field(
        default=None, repr=False
    )  # what a check must find; None where the export says nothing
    tells_spans: bool = field(default=False, repr=False, compare=False)  # begin and end of its steps, as outputs

    @property
    def version(self) -> str:
        """Changes if, and only if, vectors can change.

        >>> ServedModel("mini", "0123456789abcdef", 384, 128, False, "float16", 128).version
        'mini@0123456789ab-float16'
        """
        revision = self.revision.removeprefix("sha256-")[:_REVISION_CHARACTERS]
        return f"{self.name}@{revision}-{self.precision}"

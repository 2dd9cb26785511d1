"""The JSON that comes in and goes out, field by field; the OpenAPI schema is made from it."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticKnownError

MAX_TEXT_CHARACTERS = 1000
MAX_TEXTS = 100

Normalize = Annotated[
    bool, Field(description="Whether vectors have unit length; false gives what the model itself puts out.")
]
Vector = Annotated[list[float], Field(description="`dim` components.", examples=[[0.0125, -0.0312, 0.0456]])]
Dimension = Annotated[int, Field(description="Components of a vector.", examples=[384])]
Version = Annotated[
    str,
    Field(
        description="Changes if, and only if, vectors can change: another model, revision or precision.",
        examples=["paraphrase-multilingual-MiniLM-L12-v2@0123456789ab-float32"],
    ),
]
ModelName = Annotated[
    str, Field(description="The model's own name.", examples=["paraphrase-multilingual-MiniLM-L12-v2"])
]


def _refuse_surrogates(text: str) -> str:
    """Pydantic finds a lone surrogate only where it counts characters, and nothing can tokenize one."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PydanticKnownError("string_unicode") from None
    return text


Text = Annotated[str, AfterValidator(_refuse_surrogates)]


class EmbedRequest(BaseModel):
    """One text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "갈비탕", "normalize": True}]})

    text: Text = Field(
        min_length=1,
        max_length=MAX_TEXT_CHARACTERS,
        description="The text, counted in code points. Past the model's token limit it is truncated.",
    )
    normalize: Normalize = True


class EmbedBatchRequest(BaseModel):
    """Several texts."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"texts": ["갈비탕", "김치찌개", "된장찌개"], "normalize": True}]}
    )

    texts: list[Text] = Field(
        min_length=1, max_length=MAX_TEXTS, description="The texts, each of any length, the empty one too."
    )
    normalize: Normalize = True


class EmbedResponse(BaseModel):
    """The vector of one text."""

    embedding: Vector
    dim: Dimension
    version: Version


class EmbedBatchResponse(BaseModel):
    """The vectors of several texts, in the order asked."""

    embeddings: list[Vector]
    dim: Dimension
    version: Version
    count: int = Field(description="Number of vectors.", examples=[3])


class ModelInfoResponse(BaseModel):
    """The model that is served."""

    model_config = ConfigDict(protected_namespaces=())  # a field called model_… is meant here

    model_name: ModelName
    dimension: Dimension
    version: Version
    device: str = Field(description="What computes the vectors.", examples=["cpu"])


class HealthResponse(BaseModel):
    """A text sent now would be embedded."""

    status: str = Field(examples=["ok"])
    model: ModelName
    dim: Dimension
    version: Version


class LiveResponse(BaseModel):
    """The process runs."""

    status: str = Field(examples=["ok"])


class CacheResponse(BaseModel):
    """What the text cache did since the start, and what it holds."""

    hits: int = Field(description="Texts answered from memory, or by a computation already under way.")
    misses: int = Field(description="Texts that were computed.")
    texts: int = Field(description="Texts remembered now.")
    bytes: int = Field(description="Memory that these take, about.")
    limit_bytes: int = Field(description="Memory that they may take (CACHE_MB).")


class ErrorResponse(BaseModel):
    """Any failure but a request that is not valid."""

    detail: str = Field(
        description="One sentence that names what failed.", examples=["The engine is not there or not ready yet."]
    )

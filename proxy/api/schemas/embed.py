"""The JSON that comes in and goes out, field by field; the OpenAPI schema is made from it."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticKnownError

from proxy.api import truncation
from proxy.contract import MAX_TEXT_CHARACTERS, MAX_TEXTS

Normalize = Annotated[
    bool,
    Field(description="Whether vectors have unit length; false gives what the model itself puts out.", examples=[True]),
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
Truncate = Annotated[
    truncation.Truncate,
    Field(
        description="What becomes of a text with more tokens than the model reads: it is cut off on the `right` or on "
        "the `left`, or the request is refused with an `error` that names the text and its tokens.",
        examples=["right"],
    ),
]
ReturnTokens = Annotated[
    bool, Field(description="Whether the answer tells `tokens` and `truncated`, too.", examples=[False])
]
TOKENS = "Tokens of the whole text with the special ones, before it is cut off."
TRUNCATED = "Whether the model saw a part of the text alone."


def _refuse_surrogates(text: str) -> str:
    """Pydantic finds a lone surrogate only where it counts characters, and nothing can tokenize one."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise PydanticKnownError("string_unicode") from None
    return text


Text = Annotated[str, AfterValidator(_refuse_surrogates)]
FOOD = ["갈비탕", "김치찌개", "된장찌개"]


def fill_in(**body: Any) -> dict[str, Any]:
    """For `openapi_extra`: the body that a page fills in, where all of the fields' examples would be too much."""
    return {"requestBody": {"content": {"application/json": {"example": body}}}}


class EmbedRequest(BaseModel):
    """One text."""

    text: Text = Field(
        min_length=1,
        max_length=MAX_TEXT_CHARACTERS,
        description=f"The text: 1 to {MAX_TEXT_CHARACTERS} characters, counted in code points. "
        "Past the model's token limit it is truncated.",
        examples=["갈비탕"],
    )
    normalize: Normalize = True
    truncate: Truncate = "right"
    return_tokens: ReturnTokens = False


class EmbedBatchRequest(BaseModel):
    """Several texts."""

    texts: list[Text] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description=f"1 to {MAX_TEXTS} texts, each of any length, the empty one too.",
        examples=[FOOD],
    )
    normalize: Normalize = True
    truncate: Truncate = "right"
    return_tokens: ReturnTokens = False


class EmbedResponse(BaseModel):
    """The vector of one text."""

    embedding: Vector
    dim: Dimension
    version: Version
    tokens: int | None = Field(
        default=None,
        description=f"{TOKENS} Only with `return_tokens`.",
        examples=[7],
    )
    truncated: bool | None = Field(
        default=None,
        description=f"{TRUNCATED} Only with `return_tokens`.",
        examples=[False],
    )


class EmbedBatchResponse(BaseModel):
    """The vectors of several texts, in the order asked."""

    embeddings: list[Vector] = Field(
        description="A vector for each text, in the order asked.",
        examples=[[[0.0125, -0.0312, 0.0456], [0.0231, 0.0087, -0.0519], [-0.0442, 0.0153, 0.0278]]],
    )
    dim: Dimension
    version: Version
    count: int = Field(description="Number of vectors.", examples=[3])
    tokens: list[int] | None = Field(
        default=None, description=f"{TOKENS} For each text, and only with `return_tokens`.", examples=[[5, 7, 6]]
    )
    truncated: list[bool] | None = Field(
        default=None,
        description=f"{TRUNCATED} For each text, and only with `return_tokens`.",
        examples=[[False, False, False]],
    )


class ModelInfoResponse(BaseModel):
    """The model that is served."""

    model_config = ConfigDict(protected_namespaces=())  # a field called model_… is meant here

    model_name: ModelName
    dimension: Dimension
    version: Version
    device: str = Field(description="What computes the vectors.", examples=["cpu"])


class HealthResponse(BaseModel):
    """A text sent now would be embedded."""

    status: str = Field(description="Always `ok`: when not, the answer is a 503.", examples=["ok"])
    model: ModelName
    dim: Dimension
    version: Version


class LiveResponse(BaseModel):
    """The process runs."""

    status: str = Field(description="Always `ok`.", examples=["ok"])


class CacheResponse(BaseModel):
    """What the text cache did since the start, and what it holds."""

    hits: int = Field(description="Texts answered from memory, or by a computation already under way.", examples=[1200])
    misses: int = Field(description="Texts that were computed.", examples=[300])
    texts: int = Field(description="Texts remembered now.", examples=[300])
    bytes: int = Field(description="Memory that these take, about.", examples=[720000])
    limit_bytes: int = Field(description="Memory that they may take (CACHE_MB).", examples=[67108864])


class ErrorResponse(BaseModel):
    """Any failure but a request that is not valid."""

    detail: str = Field(
        description="One sentence that names what failed.", examples=["The engine is not there or not ready yet."]
    )


class ValidationError(BaseModel):
    """One thing in a request that is not valid, as FastAPI tells it."""

    type: str = Field(description="The kind of error, for programs.", examples=["string_too_short"])
    loc: list[str | int] = Field(
        description="Where: `body`, the field, the place in a list.", examples=[["body", "text"]]
    )
    msg: str = Field(description="What is wrong, for people.", examples=["String should have at least 1 character"])
    input: Any = Field(
        default=None, description="What was sent; left out where it is long or cannot be written.", examples=[""]
    )
    ctx: dict[str, Any] = Field(
        default={}, description="The limit passed, where it is one.", examples=[{"min_length": 1}]
    )


class HTTPValidationError(BaseModel):
    """A request that is not valid."""

    detail: list[ValidationError] = Field(description="Everything that is wrong with it.")

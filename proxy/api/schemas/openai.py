"""OpenAI's JSON of embeddings, models and errors, as far as this service has a use for it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainValidator
from pydantic_core import PydanticCustomError

from proxy.api.json_bodies import LEFT_OUT
from proxy.api.schemas.embed import ModelName, Truncate, Version
from proxy.contract import MAX_INPUTS, MAX_TOKEN_IDS
from proxy.embedding.base import Text, TokenIds

_MAX_TOKEN_ID = 2**31 - 1


# As the schema tells it.
_SomeText = Annotated[str, Field(min_length=1)]
_SomeIds = Annotated[list[Annotated[int, Field(ge=0, le=_MAX_TOKEN_ID)]], Field(min_length=1)]
_Input = (
    _SomeText
    | Annotated[list[_SomeText], Field(min_length=1, max_length=MAX_INPUTS)]
    | _SomeIds
    | Annotated[list[_SomeIds], Field(min_length=1, max_length=MAX_INPUTS)]
)


def parse_input(value: object) -> list[Text]:
    """A text, token ids, or a list of either, as a list of one kind. Raises `PydanticCustomError` that says which item.

    >>> parse_input("a"), parse_input([5, 6]), parse_input([[5, 6], [7]])
    (['a'], [(5, 6)], [(5, 6), (7,)])
    """
    if isinstance(value, str):
        return [_text(value, "it")]
    if not isinstance(value, list):
        raise _refused("should be a string, a list of strings, a list of token ids or a list of lists of them")
    if not value:
        raise _refused("should not be an empty list")
    if isinstance(value[0], str | list):
        if len(value) > MAX_INPUTS:
            raise _refused(f"should have at most {MAX_INPUTS} items, and has {len(value)}")
        if isinstance(value[0], str):
            return [_text(item, f"item {place}") for place, item in enumerate(value)]
        _refuse_too_many_ids(sum(len(item) for item in value if isinstance(item, list)), value)
        return [_token_ids(item, f"item {place}") for place, item in enumerate(value)]
    _refuse_too_many_ids(len(value), [])
    return [_token_ids(value, "it")]


def _refuse_too_many_ids(count: int, lists: list[object]) -> None:
    if count > MAX_TOKEN_IDS or [LEFT_OUT] in lists:
        raise _refused(f"should have at most {MAX_TOKEN_IDS} token ids in all")


def _text(item: object, name: str) -> str:
    if not isinstance(item, str):
        raise _refused(f"should have items of one kind: {name} is not a string")
    if not item:
        raise _refused(f"should not be empty: {name} is")
    try:
        item.encode("utf-8")
    except UnicodeEncodeError:
        raise _refused(f"should be valid Unicode: {name} has a lone surrogate") from None
    return item


def _token_ids(item: object, name: str) -> TokenIds:
    if not isinstance(item, list):
        raise _refused(f"should have items of one kind: {name} is not a list of token ids")
    if not item:
        raise _refused(f"should not be empty: {name} is")
    if not all(type(token) is int and 0 <= token <= _MAX_TOKEN_ID for token in item):
        raise _refused(f"should have whole numbers from 0 as token ids: {name} has something else")
    return tuple(item)


def _refused(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_input", "{sentence}", {"sentence": sentence})


class EmbeddingsRequest(BaseModel):
    """OpenAI's request. What it has beside these fields, as `user`, is ignored."""

    input: Annotated[list[Text], PlainValidator(parse_input, json_schema_input_type=_Input)] = Field(
        description=f"A text, or a list of 1 to {MAX_INPUTS} of them, none of them empty; or token ids in their place. "
        f"The ids, {MAX_TOKEN_IDS} at most in all, are of the model's own vocabulary, without the special tokens, as "
        "`/api/v1/tokenize` tells them: "
        "those of OpenAI's models (tiktoken) mean something else here.",
        examples=[["갈비탕", "김치찌개"]],
    )
    model: str = Field(
        description="The model that is served, by its name, with or without its organisation; any other is a 404.",
        examples=["paraphrase-multilingual-MiniLM-L12-v2"],
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default="float",
        description="Vectors as lists of numbers, or as base64 of little-endian float32.",
        examples=["float"],
    )
    dimensions: int | None = Field(
        default=None,
        description="Components of each vector, from 1 to the model's own number: the first so many are kept, and made "
        "unit length again.",
        examples=[384],
    )
    truncate: Truncate = "right"


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"] = Field(description="What this is.", examples=["embedding"])
    index: int = Field(description="The place of its text in `input`.", examples=[0])
    embedding: list[float] | str = Field(
        description="Of unit length: a list of numbers, or base64.", examples=[[0.0125, -0.0312, 0.0456]]
    )


class Usage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int = Field(
        description="Tokens that the model saw, the special ones counted, and what was cut off not.", examples=[11]
    )
    total_tokens: int = Field(description="The same.", examples=[11])


_USAGE = {"prompt_tokens": 11, "total_tokens": 11}
_DATA = {"object": "embedding", "index": 0, "embedding": [0.0125, -0.0312, 0.0456]}


class EmbeddingsResponse(BaseModel):
    """OpenAI's answer, and `version` beside it."""

    object: Literal["list"] = Field(description="What this is.", examples=["list"])
    data: list[Embedding] = Field(description="A vector for each text, in the order asked.", examples=[[_DATA]])
    model: ModelName
    usage: Usage = Field(description="How many tokens were read.", examples=[_USAGE])
    version: Version


class Model(BaseModel):
    """One model, as OpenAI tells of it."""

    id: ModelName
    object: Literal["model"] = Field(description="What this is.", examples=["model"])
    created: int = Field(description="Always 0: when the model was made is not known.", examples=[0])
    owned_by: str = Field(description="Always `self-hosted`.", examples=["self-hosted"])
    version: Version


class ModelsResponse(BaseModel):
    """The one model that is served."""

    object: Literal["list"] = Field(description="What this is.", examples=["list"])
    data: list[Model] = Field(
        description="The one model that is served.",
        examples=[
            [
                {
                    "id": "paraphrase-multilingual-MiniLM-L12-v2",
                    "object": "model",
                    "created": 0,
                    "owned_by": "self-hosted",
                    "version": "paraphrase-multilingual-MiniLM-L12-v2@0123456789ab-float32",
                }
            ]
        ],
    )


class OpenAIError(BaseModel):
    """What failed, as OpenAI tells it."""

    message: str = Field(
        description="One sentence that names what failed.", examples=["The engine is not there or not ready yet."]
    )
    type: Literal["invalid_request_error", "server_error"] = Field(
        description="Whether asking again may help: not after `invalid_request_error`.", examples=["server_error"]
    )
    param: str | None = Field(
        description="The field of the request that is not valid, where it is one.", examples=["input"]
    )
    code: str | None = Field(
        description="`model_not_found`, `invalid_api_key` or `context_length_exceeded`, where it is one of these.",
        examples=["model_not_found"],
    )


class OpenAIErrorResponse(BaseModel):
    """Any failure under `/v1/`."""

    error: OpenAIError = Field(
        description="What failed.",
        examples=[
            {
                "message": "The engine is not there or not ready yet.",
                "type": "server_error",
                "param": None,
                "code": None,
            }
        ],
    )

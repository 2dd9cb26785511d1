"""The JSON of what the original service had not: token ids of texts, and how alike texts are."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from proxy.api.schemas.embed import FOOD, TOKENS, TRUNCATED, Text, Truncate, Version
from proxy.contract import MAX_TEXTS


class TokenizeRequest(BaseModel):
    """One text or several: exactly one of `text` and `texts`."""

    text: Text | None = Field(
        default=None, description="One text of any length, in place of `texts`.", examples=["갈비탕"]
    )
    texts: list[Text] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_TEXTS,
        description=f"1 to {MAX_TEXTS} texts, each of any length.",
        examples=[FOOD],
    )
    truncate: Literal["right", "left"] = Field(
        default="right",
        description="Where a text is cut off that has more tokens than the model reads.",
        examples=["right"],
    )
    special_tokens: bool = Field(
        default=False,
        description="Whether `ids` hold the special tokens around a text. Without them, ids are what `/v1/embeddings` "
        "takes in place of the text.",
        examples=[False],
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "TokenizeRequest":
        if (self.text is None) == (self.texts is None):
            raise PydanticCustomError("one_of_both", "Exactly one of `text` and `texts` is required")
        return self


class TokenizeResponse(BaseModel):
    """What the model sees of each text, in the order asked."""

    ids: list[list[int]] = Field(
        description="The ids, in the model's own vocabulary, of what it sees of each text.",
        examples=[[[6, 5412, 1013], [87, 1209, 44, 310], [16, 982, 5]]],
    )
    tokens: list[int] = Field(description=f"{TOKENS} For each text.", examples=[[5, 6, 5]])
    truncated: list[bool] = Field(description=f"{TRUNCATED} For each text.", examples=[[False, False, False]])
    version: Version
    count: int = Field(description="Number of texts.", examples=[3])


class SimilarityRequest(BaseModel):
    """A query, and the texts to compare it with."""

    query: Text = Field(
        min_length=1, description="What the texts are compared with: 1 character or more.", examples=["갈비탕"]
    )
    texts: list[Text] = Field(
        min_length=1,
        max_length=MAX_TEXTS,
        description=f"1 to {MAX_TEXTS} texts, each of any length, the empty one too.",
        examples=[["소갈비탕", "김치찌개", "된장찌개"]],
    )
    truncate: Truncate = "right"


class SimilarityResponse(BaseModel):
    """How alike the query and each text are, in the order asked."""

    similarities: list[float] = Field(
        description="The cosine of each text's vector and the query's: -1 to 1, and 1 for the same direction.",
        examples=[[0.8312, 0.4127, 0.3954]],
    )
    version: Version
    count: int = Field(description="Number of texts.", examples=[3])

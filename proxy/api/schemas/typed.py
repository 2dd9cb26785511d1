"""The requests for vectors as types that a parser checks while it reads: what surely fits, and nothing else.

Each takes fewer bodies than its pydantic model, and none that the model does not take or reads in another way: no
field that is unknown, no value that has to be converted, no lone surrogate. Defaults and limits are the model's own.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from proxy.api.truncation import Truncate
from proxy.contract import MAX_INPUTS, MAX_TEXT_CHARACTERS, MAX_TEXTS
from proxy.embedding.base import Text

_SomeText = Annotated[str, Meta(min_length=1)]


class TextQuery(Struct, forbid_unknown_fields=True, gc=False):
    """`EmbedRequest`."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT_CHARACTERS)]
    normalize: bool = True
    truncate: Truncate = "right"
    return_tokens: bool = False


class TextsQuery(Struct, forbid_unknown_fields=True):
    """`EmbedBatchRequest`."""

    texts: Annotated[list[str], Meta(min_length=1, max_length=MAX_TEXTS)]
    normalize: bool = True
    truncate: Truncate = "right"
    return_tokens: bool = False


class EmbeddingsQuery(Struct, forbid_unknown_fields=True):
    """`EmbeddingsRequest`, with texts and not with token ids."""

    input: _SomeText | Annotated[list[_SomeText], Meta(min_length=1, max_length=MAX_INPUTS)]
    model: str
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = None
    truncate: Truncate = "right"
    user: str | None = None  # sent by clients, and of no use here

    @property
    def inputs(self) -> list[Text]:
        """The texts, one or several."""
        return [self.input] if isinstance(self.input, str) else list(self.input)

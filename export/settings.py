"""The export's settings, read once from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# The original service's model, at the commit that its users' caches hold.
DEFAULT_MODEL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
DEFAULT_REVISION = "86741b4e3f5cb7765a600d3a3d55a0f6a6cb443d"

Precision = Literal["float32", "float16", "int8"]


class Settings(BaseSettings):
    """Each field is an environment variable of the same name in capitals; an empty one counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    model: str = Field(
        default=DEFAULT_MODEL,
        description="A hub id, a local folder in sentence-transformers layout, or `package:multilingual_e5_small`.",
    )
    model_revision: str = Field(
        default="",
        description="Commit, tag or branch of a hub id. Empty: a pinned commit for the default model, else `main`.",
    )
    precision: Precision = Field(
        default="float16",
        description="Of the weights: `float16` (sums stay in float32), `float32` or `int8`.",
    )
    model_repository: Path = Field(
        default=Path("build/model_repository"),
        description="Where the exported repository stands: a link that moves to a new export in one step.",
    )

    @property
    def revision(self) -> str:
        """The revision to ask the hub for."""
        return self.model_revision or (DEFAULT_REVISION if self.model == DEFAULT_MODEL else "main")

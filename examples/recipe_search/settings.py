"""The example's settings: environment variables, with the names that the original service's backend uses."""

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals; an empty one counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    database_url: SecretStr = Field(
        default=SecretStr("postgresql:///recipes"), description="Address of a PostgreSQL database, as psql takes it."
    )
    ml_inference_url: HttpUrl = Field(
        default=HttpUrl("http://localhost:8001"), description="Address of the embedding service."
    )
    ml_timeout: float = Field(
        default=30.0, gt=0, allow_inf_nan=False, description="Seconds that it may take for an answer."
    )
    ml_retries: int = Field(default=2, ge=0, description="Times that it is asked again while it is away or not ready.")
    ml_api_key: SecretStr = Field(default=SecretStr(""), description="A key, where the service asks for one.")

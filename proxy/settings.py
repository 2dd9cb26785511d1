"""The proxy's settings: environment variables, read once at the start."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from proxy.contract import MAX_TEXTS

# An API key as a header carries it: visible ASCII. A comma would end a key of API_KEYS.
_KEY = re.compile(r"[!-+\--~]+")
_ORIGIN = re.compile(r"https?://[^/?#@\s*]+")


class InvalidSettings(Exception):
    """A setting that the proxy cannot start with; one sentence that names the variable and what would be right."""


def _lowercase(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def parse_keys(written: Iterable[str]) -> tuple[SecretStr, ...]:
    """Raises `ValueError`, which never repeats a key, for none at all and for one that no header can carry."""
    keys = [key.strip() for key in written]
    if not keys or "" in keys:
        raise ValueError("should have a key in each place, and has an empty one")
    if not all(map(_KEY.fullmatch, keys)):
        raise ValueError("should have keys of visible ASCII characters, without spaces and commas, which headers carry")
    return tuple(map(SecretStr, keys))


def read_key_file(path: Path) -> tuple[SecretStr, ...]:
    """One key a line; blank lines are none. Raises `ValueError` as `parse_keys`, and for a file that cannot be read."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise ValueError(f"should be a file that can be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("should name a file with keys of visible ASCII characters") from None
    written = [line for line in lines if line.strip()]
    if not written:
        raise ValueError("should name a file with at least one key, one a line")
    return parse_keys(written)


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals; an empty one counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    proxy_host: str = Field(default="127.0.0.1", description="Address that the proxy listens on; 0.0.0.0 for all.")
    proxy_port: int = Field(default=8001, ge=1, le=65535, description="Port that the proxy listens on.")
    triton_url: str = Field(
        default="http://127.0.0.1:8000", description="Triton's HTTP address, as http://host:port or host:port."
    )
    deadline_seconds: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that a request may take before it is answered with 504.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("*",),
        description="Browser origins that may ask, comma separated; * for any, which sends no credentials.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lowercase)] = Field(
        default="info", description="Least level that is logged; a request's line is at info."
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lowercase)] = Field(
        default="text", description="Log lines as plain text, or as one JSON object each."
    )
    max_body_mb: int = Field(
        default=20,
        ge=1,
        description="Largest request body in MiB; a larger one is refused with 413. "
        "All bodies in hand: 4 times as much, and with 503 what goes past that.",
    )
    max_connections: int = Field(
        default=4096, ge=1, description="Connections open at one time; a request on a further one gets a 503."
    )
    keep_alive_seconds: int = Field(
        # Of the common balancers Google's keeps a connection longest: 600 s, which cannot be set.
        default=620,
        ge=1,
        description="Seconds that a client's connection is kept open between two requests.",
    )
    max_texts_in_hand: int = Field(
        # What is taken on must be answered within DEADLINE_SECONDS. By docs/benchmarks.md two cores compute about 500
        # queries, 200 texts of 38 tokens or 60 of 128 in a second: 512 texts take 1, 2.5 or 9 s.
        default=512,
        ge=MAX_TEXTS,  # a service at rest takes the largest batch
        description="Most texts that wait or are computed at one time; a request that goes past it gets a 503.",
    )
    calls_in_flight: int = Field(
        default=1,
        ge=1,
        description="Calls to Triton at one time; what arrives meanwhile waits and shares the next one.",
    )
    call_tokens: int = Field(
        default=512,
        ge=1,
        description="Tokens in one call to Triton, about; a larger request is cut into several.",
    )
    cache_mb: int = Field(
        default=64,
        ge=0,
        description="MiB of texts and vectors that are remembered, least recently used out first; 0 for none.",
    )
    expected_model: str = Field(
        default="",
        description="Model that must be served, as its name or hub id; with any other the proxy answers 503.",
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Keys of which a request must bring one, comma separated; without any the service is open.",
    )
    api_keys_file: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Path of a file with more of these keys, one a line; read at the start."
    )

    @field_validator("api_keys", mode="before")
    @classmethod
    def _keys(cls, value: object) -> object:
        return parse_keys(value.split(",")) if isinstance(value, str) else value

    @field_validator("api_keys_file", mode="before")
    @classmethod
    def _keys_of_file(cls, value: object) -> object:
        return read_key_file(Path(value)) if isinstance(value, str) else value

    @field_validator("triton_url")
    @classmethod
    def _address(cls, value: str) -> str:
        problem = "should be http://host:port or host:port"
        try:
            parts = urlsplit(value.strip() if "://" in value else f"http://{value.strip()}")
            port = parts.port
        except ValueError:
            raise ValueError(problem) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError(problem)
        if parts.path not in ("", "/") or parts.query or parts.fragment or port == 0:
            raise ValueError(problem)
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        # A browser's Origin has no trailing slash, so one here would never match.
        return tuple(origin.strip().rstrip("/") for origin in value.split(",") if origin.strip())

    @field_validator("cors_origins")
    @classmethod
    def _origins_are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != ("*",) and not (value and all(_ORIGIN.fullmatch(origin) for origin in value)):
            raise ValueError("should be * alone or origins as https://host:port, comma separated")
        return value

    @property
    def expected_model_name(self) -> str:
        """The last part of a hub id is the name that a model goes by; empty for any model."""
        return self.expected_model.strip().rstrip("/").rsplit("/", 1)[-1]


def read_settings() -> Settings:
    """The settings as the environment has them. Raises `InvalidSettings`."""
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    variable = str(first["loc"][0]).upper()
    shown = "set" if variable == "API_KEYS" else repr(str(first["input"]))
    # Pydantic's messages read "Input should be …"; those of the validators above come after "Value error, ".
    should = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{variable} is {shown}: it {should}."

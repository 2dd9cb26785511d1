"""The launcher's settings: environment variables, read once at the start."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.errors import InvalidSettings
from runtime.tracing import trace_options

PROJECT_ROOT = Path(__file__).resolve().parent.parent

Port = Annotated[int, Field(ge=1, le=65535)]
_PORT_RULE = "a port from 1 to 65535 (0, for any free port, is not allowed)"


def _lowercase(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _setting(default: Any, description: str, rule: str) -> Any:
    """A field whose `rule` completes the sentence "NAME must be …"."""
    return Field(default=default, description=description, json_schema_extra={"rule": rule})


class Settings(BaseSettings):
    """Each field is the environment variable of its name in capitals; an empty one counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    model_repository: Path = _setting(
        Path("build/model_repository"),
        "Folder of the exported models; a relative one counts from the project's root.",
        "the path of a folder",
    )
    triton_host: str = _setting(
        "127.0.0.1", "IPv4 address that Triton listens on; 0.0.0.0 for all.", "an address or a host name"
    )
    triton_http_port: Port = _setting(8000, "Port of Triton's HTTP protocol.", _PORT_RULE)
    triton_grpc_port: Port = _setting(8003, "Port of Triton's gRPC protocol.", _PORT_RULE)
    triton_metrics_port: Port = _setting(8002, "Port of Triton's Prometheus metrics.", _PORT_RULE)
    proxy_host: str = _setting(
        "127.0.0.1", "Address that the proxy listens on; 0.0.0.0 for all.", "an address or a host name"
    )
    proxy_port: Port = _setting(8001, "Port that the proxy listens on.", _PORT_RULE)
    encoder_threads: Annotated[int, Field(ge=0)] = _setting(
        0, "Threads of the encoder; 0 for the cores that affinity and control group allow.", "a whole number from 0 on"
    )
    encoder_kernel: Annotated[Literal["auto", "fbgemm", "onednn"], BeforeValidator(_lowercase)] = _setting(
        "auto",
        "Library that multiplies the encoder's matrices: `fbgemm`, `onednn` (makes float16 weights bfloat16: several "
        "times faster on processors with AMX, slower on most others), or `auto`: for int8 what this processor is "
        "faster with, measured at the first start, and else `fbgemm`.",
        "auto, fbgemm or onednn",
    )
    start_timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = _setting(
        120.0, "Seconds until the first text must be embeddable, else the start is given up.", "a number above 0"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lowercase)] = (
        _setting(
            "info",
            "Least level that is logged; Triton's own lines are shown from warning on, and all of them with debug.",
            "debug, info, warning, error or critical",
        )
    )

    @property
    def repository(self) -> Path:
        """MODEL_REPOSITORY as an absolute path, links not followed."""
        return PROJECT_ROOT / self.model_repository.expanduser()

    @property
    def listeners(self) -> list[tuple[str, str, int]]:
        """Every door that the service opens: the port's setting, the host, the port."""
        return [
            ("PROXY_PORT", self.proxy_host, self.proxy_port),
            ("TRITON_HTTP_PORT", self.triton_host, self.triton_http_port),
            ("TRITON_GRPC_PORT", self.triton_host, self.triton_grpc_port),
            ("TRITON_METRICS_PORT", self.triton_host, self.triton_metrics_port),
        ]


def load_settings() -> Settings:
    """Reads the environment.

    Raises `InvalidSettings` on a value that cannot be used, OpenTelemetry's included, and on two settings with the same
    port.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise InvalidSettings(" ".join(_sentence(problem) for problem in error.errors())) from None
    trace_options()
    names: dict[int, str] = {}
    for name, _, port in settings.listeners:
        if port in names:
            raise InvalidSettings(f"{names[port]} and {name} are both {port}: each needs a port of its own.")
        names[port] = name
    return settings


def _sentence(problem: Any) -> str:
    field = str(problem["loc"][0])
    extra = Settings.model_fields[field].json_schema_extra
    rule = extra["rule"] if isinstance(extra, dict) else "valid"
    return f"{field.upper()} must be {rule}, not {str(problem['input'])!r}."

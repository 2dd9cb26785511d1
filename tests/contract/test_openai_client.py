"""The `openai` package as its users have it: its errors for this service's, and when it asks again."""

import openai
import pytest

from proxy.app import create_app
from proxy.embedding.model import ServedModel
from proxy.errors import EngineUnavailable
from proxy.settings import Settings
from tests.contract.serving import serve
from tests.fakes.fake_embedder import DIMENSION, MODEL, FakeEmbedder, encode


def test_errors_are_those_of_the_package() -> None:
    embedder = FakeEmbedder()
    app = create_app(Settings.model_validate({"api_keys": "secret"}), embedder)
    with serve(app) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match="dimensions") as invalid:
            client.embeddings.create(input="a", model=MODEL.name, dimensions=DIMENSION + 1)
        assert (invalid.value.param, invalid.value.type) == ("dimensions", "invalid_request_error")
        with pytest.raises(openai.BadRequestError) as long:
            client.embeddings.create(input="a " * 300, model=MODEL.name, extra_body={"truncate": "error"})
        assert long.value.code == "context_length_exceeded"
        with pytest.raises(openai.NotFoundError, match=MODEL.name) as unknown:
            client.embeddings.create(input="a", model="text-embedding-3-small")
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.AuthenticationError) as refused:
            client.with_options(api_key="wrong").models.list()
        assert refused.value.code == "invalid_api_key"
        embedder.failure = EngineUnavailable("It is away.")
        with pytest.raises(openai.InternalServerError, match=r"It is away\.") as away:
            client.models.list()
        assert away.value.status_code == 503


class RecoveringEmbedder(FakeEmbedder):
    """Away when it is asked for the first time."""

    asked = 0

    def _answer(self) -> ServedModel:
        self.asked += 1
        self.failure = EngineUnavailable("Not yet.") if self.asked == 1 else None
        return super()._answer()


def test_it_asks_again_while_the_engine_is_away() -> None:
    embedder = RecoveringEmbedder()
    with (
        serve(create_app(Settings(), embedder)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=2) as client,
    ):
        answer = client.embeddings.create(input="갈비탕", model=MODEL.name)
    assert embedder.asked > 1
    assert answer.data[0].embedding == pytest.approx(encode(["갈비탕"], True)[0].tolist())

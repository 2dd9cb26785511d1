"""What perf_analyzer is given."""

import json
import socket
from pathlib import Path

import pytest

from runtime.errors import NotReady
from runtime.perf import BUILT_IN_QUERIES, input_data, measure, perf_command, read_queries
from runtime.settings import Settings


def test_queries_are_the_names_before_the_colon(tmp_path: Path) -> None:
    recipes = tmp_path / "recipes.txt"
    recipes.write_text("갈비탕: 소갈비를 고아: 맑게\n\nno name here\n: empty\n김치찌개: 볶다가\n", encoding="utf-8")
    assert read_queries(recipes) == ["갈비탕", "김치찌개"]


def test_without_the_file_there_are_queries_too(tmp_path: Path) -> None:
    assert read_queries(tmp_path / "none.txt") == list(BUILT_IN_QUERIES)


def test_input_is_one_byte_string_a_request() -> None:
    assert json.loads(input_data(["갈비탕", 'a "b"'])) == {"data": [{"text": ["갈비탕"]}, {"text": ['a "b"']}]}


def test_the_protocol_and_address_are_passed() -> None:
    command = perf_command(Path("/bin/perf_analyzer"), "grpc", "127.0.0.1:8003", Path("/q.json"))
    assert " ".join(command).startswith("/bin/perf_analyzer -m sentence_embedding -i grpc -u 127.0.0.1:8003")


def test_no_server_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        NotReady, match=rf"No Triton serves sentence_embedding on 127\.0\.0\.1:{port} \(TRITON_HTTP_PORT"
    ):
        measure(Settings(triton_http_port=port))

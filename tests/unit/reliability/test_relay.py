"""The relay passes bytes on, and loses, tears and holds them when told to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from reliability.relay import Mode, Relay
from tests.waiting import until

ANSWER = b"answer " * 1_000


async def echo_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readexactly(3):
        writer.write(ANSWER)
        await writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await echo_answer(reader, writer)
    except (EOFError, OSError):
        pass
    finally:
        writer.close()


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = Relay(server.sockets[0].getsockname()[1])
    await made.listen()
    try:
        yield made
    finally:
        await made.close()
        server.close()


async def ask(relay: Relay) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    try:
        writer.write(b"ask")
        return await reader.readexactly(len(ANSWER))
    finally:
        writer.close()


@pytest.mark.parametrize("mode", [Mode.PASS, Mode.SLOW])
async def test_everything_arrives(relay: Relay, mode: Mode) -> None:
    relay.behave(mode)
    assert await ask(relay) == ANSWER


async def test_an_answer_is_torn(relay: Relay) -> None:
    relay.behave(Mode.TORN)
    with pytest.raises(asyncio.IncompleteReadError) as torn:
        await ask(relay)
    assert 0 < len(torn.value.partial) < len(ANSWER)


async def test_what_is_held_back_arrives_later(relay: Relay) -> None:
    relay.behave(Mode.SILENT)
    asking = asyncio.create_task(ask(relay))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    relay.behave(Mode.PASS)
    assert await asking == ANSWER


async def test_reset_refused_and_back(relay: Relay) -> None:
    relay.behave(Mode.SILENT)
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    await until(lambda: relay.connections)
    relay.reset()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    relay.behave(Mode.PASS)
    await relay.refuse()
    with pytest.raises(ConnectionRefusedError):
        await ask(relay)
    await relay.listen()
    assert await ask(relay) == ANSWER

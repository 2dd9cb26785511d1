"""The measuring client, a process of its own: a task as JSON on standard input, its result as JSON on standard output.

`sequence` sends given requests one after another on one connection and answers each one's seconds; `load` keeps several
connections busy for some seconds and is what stands in where `wrk` is not installed.
"""

import asyncio
import json
import socket
import sys
import time
from typing import Any

from bench.texts import Queries

TIMEOUT_SECONDS = 60.0


def request_bytes(path: str, body: str) -> bytes:
    """A POST of JSON, with the connection kept."""
    content = body.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def answer_length(head: bytes) -> tuple[int, int]:
    """Status and length of the body from an answer's head.

    >>> answer_length(b"HTTP/1.1 200 OK\\r\\nContent-Length: 12\\r\\n\\r\\n")
    (200, 12)

    Raises `ValueError` where no length is given.
    """
    lines = head.split(b"\r\n")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(lines[0].split()[1]), int(value)
    raise ValueError("the answer has no Content-Length")


def send_in_sequence(task: dict[str, Any]) -> dict[str, Any]:
    """Sends `bodies` to `path` on `port` until all are sent or `seconds` have passed (no limit where it is missing)."""
    requests = [request_bytes(task["path"], body) for body in task["bodies"]]
    deadline = time.perf_counter() + task.get("seconds", float("inf"))
    taken: list[float] = []
    errors = 0
    with socket.create_connection(("127.0.0.1", task["port"]), TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            start = time.perf_counter()
            if start > deadline:
                break
            connection.sendall(request)
            errors += _receive(connection) != 200
            taken.append(time.perf_counter() - start)
    return {"seconds": taken, "errors": errors}


def _receive(connection: socket.socket) -> int:
    """Reads one answer whole; its status."""
    data = connection.recv(65_536)
    while (end := data.find(b"\r\n\r\n")) < 0:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionError("the connection was closed before an answer")
        data += more
    status, length = answer_length(data[: end + 4])
    left = end + 4 + length - len(data)
    while left > 0:
        more = connection.recv(min(left, 1 << 20))
        if not more:
            raise ConnectionError("the connection was closed within an answer")
        left -= len(more)
    return status


async def keep_busy(task: dict[str, Any]) -> dict[str, Any]:
    """`clients` connections ask short queries for `seconds`, from query number `first` on or from `log` in turn."""
    queries = Queries()
    log: list[str] | None = task.get("log")
    sent = errors = 0
    taken: list[float] = []
    start = time.perf_counter()
    deadline = start + task["seconds"]

    async def client() -> None:
        nonlocal sent, errors
        reader, writer = await asyncio.open_connection("127.0.0.1", task["port"])
        try:
            while (asked := time.perf_counter()) < deadline:
                text = log[sent % len(log)] if log else queries.text(task["first"] + sent)
                sent += 1
                writer.write(request_bytes(task["path"], task["prefix"] + text + task["suffix"]))
                status, length = answer_length(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(length)
                if status == 200:
                    taken.append(time.perf_counter() - asked)
                else:
                    errors += 1
        except (OSError, EOFError):
            errors += 1
        finally:
            writer.close()

    await asyncio.gather(*(client() for _ in range(task["clients"])))
    return {"requests": len(taken), "seconds": time.perf_counter() - start, "errors": errors, "latencies": taken}


def main() -> None:
    task = json.loads(sys.stdin.readline())
    result = send_in_sequence(task) if task["kind"] == "sequence" else asyncio.run(keep_busy(task))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()

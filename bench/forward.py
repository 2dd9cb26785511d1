"""The bare forward: the exported model.pt in one process with nothing around it, called at a service's own pace.

`python -m bench.forward REPOSITORY` reads tasks and answers with seconds, each a line of JSON; `BareForward` runs it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.services import ROOT
from runtime.cores import available_cores


class BareForward:
    """A process that holds one model; idle between the calls to `seconds`."""

    def __init__(
        self, repository: Path, module: str = "bench.forward", environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment`: this process's where it is None."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(repository)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def seconds(self, texts: Sequence[str], period: float, call_texts: int = 1) -> list[float]:
        """What each forward of `call_texts` texts takes, when one starts every `period` seconds.

        Raises `RuntimeError` where the process ended.
        """
        return self.ask({"texts": list(texts), "period": period, "call_texts": call_texts})

    def ask(self, task: dict[str, Any]) -> list[float]:
        """The module's answer to a task.

        Raises `RuntimeError` where the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of the bare forward ended")
        return [float(value) for value in json.loads(line)]

    def __enter__(self) -> "BareForward":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def threads(repository: Path) -> int:
    """What the service uses: the encoder's INTRA_OP_THREAD_COUNT, else ENCODER_THREADS, else one for each core."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config: Any = model_config_pb2.ModelConfig()
    text_format.Parse((repository / "encoder" / "config.pbtxt").read_text(encoding="utf-8"), config)
    if "INTRA_OP_THREAD_COUNT" in config.parameters:
        return int(config.parameters["INTRA_OP_THREAD_COUNT"].string_value)
    return int(os.environ.get("ENCODER_THREADS") or 0) or available_cores()


def main() -> None:
    import torch

    from bench.exported import ExportedSteps

    repository = Path(sys.argv[1])
    torch.set_num_threads(threads(repository))
    torch.set_num_interop_threads(1)
    steps = ExportedSteps(repository)
    for line in sys.stdin:
        task = json.loads(line)
        texts, size = task["texts"], task["call_texts"]
        inputs = [steps.tokenize(texts[first : first + size]) for first in range(0, len(texts), size)]
        taken = []
        with torch.inference_mode():
            for place, (ids, mask) in enumerate(inputs[:20] + inputs):  # the first ones warm up and do not count
                start = time.perf_counter()
                steps.encoder(ids, mask)
                seconds = time.perf_counter() - start
                if place >= len(inputs[:20]):
                    taken.append(seconds)
                time.sleep(max(0.0, task["period"] - seconds))
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()

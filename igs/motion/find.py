"""Where weights come from: a file, a folder, what comes with igs, or the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from igs.config.resources import resource_folder, weights_path

# What a folder of weights holds, the best first: ours, the released network, GMFlow's.
FILES = ("model.safetensors", "pytorch_model.bin", "*.safetensors", "*.pth", "*.bin")
HUB_ID = re.compile(r"^(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?$")


def find_weights(name: str | Path) -> Path:
    """The weight file that a name stands for.

    Args:
        name: a file; a folder that holds one (`FILES`); a name under `ckpt/` of igs, such as
            `igs_small`; or `owner/repository`, with `@revision` if need be, on the Hugging Face
            hub, which is downloaded once and kept in the hub's own cache.

    Returns:
        Path of an existing file. A released network's `experiment_config.yaml` is beside it or
        one folder up, where `load_agm` looks for it.

    Raises:
        FileNotFoundError: nothing of that name; the message lists what comes with igs.
        ValueError: a hub id, but the hub's client is not installed or the download failed; names
            the id and says what to do.
    """
    given = Path(name)
    if given.is_dir():
        return _in_folder(given)
    packaged = resource_folder("ckpt")
    if packaged is not None and (packaged / _below_ckpt(given)).is_dir():
        return _in_folder(packaged / _below_ckpt(given))
    try:
        return weights_path(name)
    except FileNotFoundError:
        hub_id = HUB_ID.match(str(name))
        if hub_id is None or given.suffix in (".safetensors", ".bin", ".pth", ".pt"):
            raise
    return _in_folder(_download(hub_id["repo"], hub_id["revision"]))


def _below_ckpt(path: Path) -> Path:
    return path.relative_to("ckpt") if path.parts[:1] == ("ckpt",) else path


def _in_folder(folder: Path) -> Path:
    for pattern in FILES:
        # Released folders nest: ckpt/igs/15/pytorch_model.bin.
        found = sorted(folder.rglob(pattern))
        if len(found) > 1 and pattern.startswith("*"):
            listed = ", ".join(str(path.relative_to(folder)) for path in found)
            raise FileNotFoundError(f"{folder}: several weight files ({listed}); name one of them")
        if found:
            return found[-1]
    raise FileNotFoundError(f"{folder}: no weights in it (looked for {', '.join(FILES)})")


def _download(repo: str, revision: str | None) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise ValueError(
            f"{repo}: weights on the hub need its client: pip install 'igs[hub]'"
        ) from None
    wanted = [*FILES, *(f"**/{name}" for name in FILES), "**/*.yaml", "*.yaml"]
    try:
        folder = snapshot_download(repo, revision=revision, allow_patterns=wanted)
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{repo}: no such file or folder here, and not to be had from the hub ({reason})"
        ) from error
    return Path(folder)

"""Quantised Gaussians and their compact file.

Source: spec `frame0.md`, section 4 (vector quantisation): the SH of the least significant share a
codebook, the other SH, scales, rotations and opacities are stored in half precision, positions in
single.

The file is safetensors, ``format: igs-quantised-gaussians``, ``version: 1`` in its metadata.
N Gaussians, of which the first Q share the codebook; K = (SH degree + 1)^2; D the numbers of a
codebook entry, coefficient first and colour last:

| tensor | shape | type | what |
|---|---|---|---|
| means | (N, 3) | float32 | centres |
| log_scales | (N, 3) | float16 | as in `Gaussians` |
| quats | (N, 4) | float16 | unit length |
| opacity_logits | (N,) | float16 | as in `Gaussians` |
| codebook | (C, D) | float16 | entries; C is 0 where nothing is quantised |
| codes | (Q,) | uint16 | entry of each of the first Q |
| sh_coded_dc | (Q, 3) | float16 | their constant colour, if D = 3 (K - 1); absent if D = 3 K |
| sh | (N - Q, K, 3) | float16 | SH of the rest |

The 3D filter is folded in. The order of the Gaussians is not that of the model they come from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from igs.config.compress import QuantiseConfig, check_quantise
from igs.gaussians import Gaussians, read_ply
from igs.gaussians.lightgaussian_codebook import train_codebook
from igs.scene.files import write_bytes

logger = logging.getLogger(__name__)

FORMAT = "igs-quantised-gaussians"
VERSION = "1"

_LARGEST_HALF = 65_504.0
_ENTRY_SHARE = 4  # at most one codebook entry per so many Gaussians that share it


@dataclass(frozen=True)
class QuantisedGaussians:
    """What the file holds, as arrays; see the module's table.

    Attributes:
        arrays: tensor name to array.
    """

    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays["means"])

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays, which the file exceeds by its header of less than 2 kB."""
        return sum(a.nbytes for a in self.arrays.values())

    def decode(self) -> Gaussians:
        """N Gaussians, float32, on the CPU."""
        a = {name: torch.from_numpy(v.astype(np.float32)) for name, v in self.arrays.items()}
        codes = torch.from_numpy(self.arrays["codes"].astype(np.int64))
        coded = a["codebook"][codes].unflatten(1, (a["codebook"].shape[1] // 3, 3))
        if "sh_coded_dc" in a:
            coded = torch.cat([a["sh_coded_dc"][:, None], coded], dim=1)
        return Gaussians(
            means=a["means"],
            log_scales=a["log_scales"],
            quats=a["quats"],
            opacity_logits=a["opacity_logits"],
            sh=torch.cat([coded, a["sh"]]),
        )


def quantise(
    config: QuantiseConfig,
    gaussians: Gaussians,
    significance: torch.Tensor,
    seed: int,
    *,
    progress: Callable[[int, int, float], None] | None = None,
) -> QuantisedGaussians:
    """Quantise the SH of the least significant Gaussians, round everything else.

    Args:
        config: see `QuantiseConfig`.
        gaussians: N Gaussians *as rendered* (3D filter folded in).
        significance: (N,) non-negative, such as `global_significance` of these same Gaussians.
        seed: decides the k-means.
        progress: called with (steps done, of how many, error) of the k-means.

    Raises:
        ValueError: significance of another number or negative, or a value that half precision
            cannot hold.
        ConfigError: settings that cannot be used; names the key.
    """
    check_quantise(config)
    n = len(gaussians)
    if significance.shape != (n,):
        raise ValueError(f"{n} Gaussians but significance of shape {tuple(significance.shape)}")
    gaussians = gaussians.detach()
    order = significance.argsort(stable=True)
    ordered = gaussians.select(order)
    num_coded = int(config.share * n)
    keep_dc = config.keep_dc and gaussians.sh_degree > 0
    coded = ordered.sh[:num_coded, int(keep_dc) :].flatten(1)
    size = min(config.codebook, max(1, num_coded // _ENTRY_SHARE))
    arrays = {
        "means": ordered.means.cpu().numpy(),
        "log_scales": _half("log_scales", ordered.log_scales),
        "quats": _half("quats", ordered.unit_quats),
        "opacity_logits": _half("opacity_logits", ordered.opacity_logits),
        "sh": _half("sh", ordered.sh[num_coded:]),
        "codebook": np.zeros((0, coded.shape[1]), np.float16),
        "codes": np.zeros(0, np.uint16),
    }
    if keep_dc:
        arrays["sh_coded_dc"] = _half("sh", ordered.sh[:num_coded, 0])
    if num_coded:
        book = train_codebook(
            coded,
            significance[order[:num_coded]].float(),
            size,
            steps=config.steps,
            batch=config.batch,
            decay=config.decay,
            replaced=config.replaced,
            generator=torch.Generator().manual_seed(seed),
            progress=progress,
        )
        arrays["codebook"] = _half("codebook", book.entries)
        arrays["codes"] = book.codes.cpu().numpy().astype(np.uint16)
    result = QuantisedGaussians(arrays)
    logger.info("%d of %d SH share %d entries: %d bytes", num_coded, n, size, result.num_bytes)
    return result


def write_quantised(path: str | Path, quantised: QuantisedGaussians) -> int:
    """Write the file, whole or not at all; returns its bytes.

    Raises:
        OSError: the disk is full or the folder cannot be written; names the file.
    """
    arrays = {name: np.ascontiguousarray(a) for name, a in sorted(quantised.arrays.items())}
    data = save(arrays, metadata={"format": FORMAT, "version": VERSION})
    write_bytes(path, data)
    return len(data)


def read_quantised(path: str | Path) -> QuantisedGaussians:
    """Read the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, damaged, or arrays that do not fit each other; names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        arrays = load(path.read_bytes())
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: not quantised Gaussians: {error}") from error
    problem = _problem(arrays)
    if problem:
        raise ValueError(f"{path}: not quantised Gaussians: {problem}")
    return QuantisedGaussians(arrays)


def read_gaussians(path: str | Path) -> Gaussians:
    """Gaussians of a PLY, or decoded from a quantised file (``.safetensors``), by suffix.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see `read_ply` and `read_quantised`.
    """
    if Path(path).suffix.lower() == ".safetensors":
        return read_quantised(path).decode()
    return read_ply(path)


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    names = ("means", "log_scales", "quats", "opacity_logits", "codebook", "codes", "sh")
    missing = [name for name in names if name not in arrays]
    if missing:
        return f"{', '.join(missing)} missing"
    n, num_coded, num_entries = (len(arrays[k]) for k in ("means", "codes", "codebook"))
    coefficients = arrays["sh"].shape[1] if arrays["sh"].ndim == 3 else 0
    with_dc = "sh_coded_dc" in arrays
    wanted = {
        "means": (n, 3),
        "log_scales": (n, 3),
        "quats": (n, 4),
        "opacity_logits": (n,),
        "codebook": (num_entries, 3 * (coefficients - with_dc)),
        "codes": (num_coded,),
        "sh": (n - num_coded, coefficients, 3),
        **({"sh_coded_dc": (num_coded, 3)} if with_dc else {}),
    }
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            return f"{name} has shape {arrays[name].shape}, must be {shape}"
    if coefficients not in (1, 4, 9, 16):
        return f"{coefficients} SH coefficients; a degree of 0 to 3 has 1, 4, 9 or 16"
    if num_coded and int(arrays["codes"].max()) >= num_entries:
        return f"code {int(arrays['codes'].max())} of a codebook of {num_entries}"
    for name in names:
        if not np.isfinite(arrays[name]).all():
            return f"{name} is not finite"
    return None


def _half(name: str, values: torch.Tensor) -> np.ndarray:
    if bool((values.abs() > _LARGEST_HALF).any()):
        raise ValueError(f"{name}: half precision holds at most {_LARGEST_HALF:g}")
    return values.cpu().numpy().astype(np.float16)

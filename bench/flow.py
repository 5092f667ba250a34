"""End-point error of flow networks on real pairs, next to no flow and to OpenCV's DIS.

python bench/flow.py --weights outputs/train_flow_small_256/3 [--data ../shared/data]

The pairs: Middlebury RubberWhale (dense truth, small motion) and one of KITTI (sparse truth, large
motion). GMFlow sees each pair at its own size and, being trained on small squares, also squashed
to --size pixels a side, where its flow is enlarged again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2  # pyright: ignore[reportMissingImports]  # the extra `bench`
import numpy as np
import torch
from gmflow import GMFlow, load_gmflow, read_flo
from torch.nn import functional as F

from igs.motion import find_weights

UNKNOWN = 1e9  # Middlebury's mark of pixels without truth

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def rubber_whale(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two (H, W, 3) RGB images, (H, W, 2) flow, (H, W) where it is known."""
    flow = read_flo(folder / "flow_1to2.flo")
    return *_images(folder), flow, np.abs(flow).max(axis=2) < UNKNOWN


def kitti(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same of the KITTI pair."""
    stored = cv2.imread(str(folder / "flow_gt.png"), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise FileNotFoundError(f"{folder / 'flow_gt.png'}: missing or not a PNG")
    valid, v, u = stored[..., 0], stored[..., 1], stored[..., 2]
    flow = (np.stack([u, v], axis=2).astype(np.float32) - 2**15) / 64
    return *_images(folder), flow, valid > 0


def _images(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    found = [cv2.imread(str(folder / f"frame{i}.png"), cv2.IMREAD_COLOR) for i in (1, 2)]
    first, second = (image[..., ::-1] for image in found if image is not None)
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


def no_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Nothing moves."""
    return np.zeros((*first.shape[:2], 2), np.float32)


def dis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """OpenCV's dense inverse search, preset medium."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (first, second)]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return method.calc(grey[0], grey[1], np.zeros((*grey[0].shape, 2), np.float32))


def gmflow(network: GMFlow, size: int | None) -> Method:
    """A network at the images' own size, or squashed to a square."""

    def method(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        pair = [torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (first, second)]
        height, width = first.shape[:2]
        if size is not None:
            pair = [_resized(image, (size, size)) for image in pair]
        flow = network.flow(pair[0], pair[1])
        if size is not None:
            scale = torch.tensor([width / size, height / size])[:, None, None]
            flow = _resized(flow, (height, width)) * scale
        return flow[0].permute(1, 2, 0).numpy()

    return method


def _resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    shrinks = size[0] < image.shape[-2]
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=shrinks)


def measure(method: Method, pair: tuple[np.ndarray, ...], repeat: int) -> tuple[float, float]:
    """Mean end-point error over the known pixels, and median seconds."""
    first, second, true, known = pair
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        found = method(first, second)
        seconds.append(time.perf_counter() - started)
    error = np.linalg.norm(found - true, axis=2)[known]
    return float(error.mean()), statistics.median(seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", nargs="*", default=[], help="of GMFlow: files or names")
    shared = Path(os.environ.get("IGS_SHARED", "../shared"))
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    methods: dict[str, Method] = {"no flow": no_flow, "DIS medium": dis}
    for name in arguments.weights:
        network = load_gmflow(find_weights(name))
        methods[f"{name}, own size"] = gmflow(network, None)
        methods[f"{name}, {arguments.size}"] = gmflow(network, arguments.size)
    pairs = {
        "RubberWhale": rubber_whale(arguments.data / "flow_rubberwhale"),
        "KITTI": kitti(arguments.data / "flow_kitti_pair"),
    }
    width = max(len(name) for name in methods)
    print(f"{'':{width}}  " + "  ".join(f"{name:>11}  seconds" for name in pairs))
    for name, method in methods.items():
        found = [measure(method, pair, arguments.repeat) for pair in pairs.values()]
        cells = "  ".join(f"{error:8.2f} px  {seconds:7.3f}" for error, seconds in found)
        print(f"{name:{width}}  {cells}")


if __name__ == "__main__":
    main()

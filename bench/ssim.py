"""Time of the fused L1 + SSIM loss, forward and backward, next to its plain-torch twin.

    python bench/ssim.py [--repeats 15] [--threads N]

Both run in turns in this process; the median of each is printed, in milliseconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from fused_ssim import _native, photometric_loss, reference

SIZES = [(3, 240, 320), (3, 360, 640), (3, 1014, 1352)]


def step_time(
    loss: Callable[..., torch.Tensor], image: torch.Tensor, target: torch.Tensor
) -> float:
    """Seconds of one forward and backward pass."""
    image.grad = None
    start = time.perf_counter()
    loss(image, target).backward()
    return time.perf_counter() - start


def medians(size: tuple[int, int, int], repeats: int) -> tuple[float, float]:
    """Median milliseconds of the fused loss and of the twin at one image size."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(size, generator=generator).requires_grad_()
    target = torch.rand(size, generator=generator)
    fused, twin = [], []
    for turn in range(repeats + 1):
        fused.append(step_time(photometric_loss, image, target))
        if turn <= max(3, repeats // 3):
            twin.append(step_time(reference.photometric_loss, image, target))
    # The first turn warms caches and allocators.
    return 1e3 * statistics.median(fused[1:]), 1e3 * statistics.median(twin[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, {_native.simd_variants()[-1]}")
    print(f"{'C x H x W':>16}  {'fused ms':>9}  {'torch ms':>9}  {'ratio':>6}")
    for size in SIZES:
        fused, twin = medians(size, options.repeats)
        name = " x ".join(map(str, size))
        print(f"{name:>16}  {fused:9.2f}  {twin:9.2f}  {twin / fused:6.1f}")


if __name__ == "__main__":
    main()

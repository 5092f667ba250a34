"""LightGaussian on one instant: Gaussians, bytes and held-out PSNR before and after.

    python bench/lightgaussian.py --root examples/demo_scene --videos . \
        --config configs/frame0_fast.yaml --model outputs/lightgaussian

Trains a model unless the folder given by `--model` has one, then prints one row per variant: the
kinds of importance and the shares pruned, recovery as published and otherwise, SH distilled to a
lower degree, and the quantised file. One thread; seeds are fixed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from igs.config.compress import CompressConfig, DistillConfig, QuantiseConfig
from igs.config.frame0 import Frame0Config
from igs.config.frame0_run import Frame0RunConfig
from igs.config.load import load_config
from igs.frame0.compress import CompressResult, compress, count_importance, folded
from igs.frame0.distill import distill
from igs.frame0.initial import gaussians_from_points, initial_points
from igs.frame0.outputs import save_gaussians
from igs.frame0.photographs import Photographs, read_photographs
from igs.frame0.quantise import quantise, read_quantised, write_quantised
from igs.frame0.train import Frame0Trainer
from igs.gaussians import Gaussians, global_significance, read_ply_unfolded, write_ply
from igs.metrics import psnr, ssim
from igs.render import render, to_float
from igs.scene import GaussianModelFolder

BLACK = torch.zeros(3)
SEED = 0
CHOSEN = "alpha_t 50 %"  # the pruned model that is distilled and quantised
Model = tuple[Gaussians, torch.Tensor | None]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="LightGaussian before and after.")
    parser.add_argument("--root", required=True, help="scene: cameras and images or videos")
    parser.add_argument("--videos", default="videos", help="folder of the videos in it")
    parser.add_argument("--resolution", type=int, default=-1, help="divisor of the image size")
    parser.add_argument("--config", help="preset of `igs frame0` to train with")
    parser.add_argument("--model", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--recover", type=int, default=1000, help="iterations of recovery")
    parser.add_argument("--variants", nargs="*", help="only variants whose name holds one of these")
    parser.add_argument("--degrees", type=int, nargs="*", default=[2], help="SH to distil to")
    parser.add_argument("overrides", nargs="*", help="settings of the preset, key=value")
    return parser.parse_args()


def train(arguments: argparse.Namespace, photographs: Photographs, frame0: Frame0Config) -> Model:
    """The trained model of the folder, made first if it is not there."""
    model = GaussianModelFolder(arguments.model)
    if not model.iterations():
        points = initial_points(
            frame0.init,
            photographs.training,
            photographs.images,
            Path(arguments.root),
            SEED,
            known=photographs.points,
        )
        start = gaussians_from_points(points, frame0.sh_degree)
        trainer = Frame0Trainer(
            frame0, photographs.training, photographs.images, start, BLACK, SEED
        )
        started = time.perf_counter()
        trainer.run()
        print(f"trained in {time.perf_counter() - started:.0f} s", flush=True)
        save_gaussians(model, frame0.iterations, *trainer.parameters())
    return read_ply_unfolded(model.find_ply())


def quality(gaussians: Gaussians, photographs: Photographs) -> tuple[float, float]:
    """Mean PSNR and SSIM of the held-out cameras."""
    rows = []
    for name in photographs.rig.held_out:
        with torch.no_grad():
            image = render(gaussians, photographs.rig.cameras[name], BLACK).color
        target = to_float(photographs.images[name])
        rows.append((psnr(image, target), ssim(image, target)))
    mean = np.mean(rows, axis=0)
    return float(mean[0]), float(mean[1])


def variants(recover: int) -> Iterator[tuple[str, CompressConfig]]:
    """Name and settings of every pruning to measure."""

    def settings(**prune: object) -> CompressConfig:
        config = CompressConfig()
        config.recover.iterations = recover
        for key, value in prune.items():
            setattr(config.prune, key, value)
        return config

    annealed = settings(importance="alpha_t", share=0.5)
    annealed.recover.rate_final = 0.1
    yield "alpha_t annealed 50 %", annealed
    for importance in ("opacity", "opacity_t", "alpha_t"):
        yield f"{importance} 45 %", settings(importance=importance)
        yield f"{importance} 50 %", settings(importance=importance, share=0.5)
        yield f"{importance} 66 %", settings(importance=importance, share=0.66)
    yield "clipped volume 50 %", settings(importance="opacity", share=0.5, clip_volume=True)
    frozen = settings(importance="opacity", share=0.5)
    frozen.recover.freeze_means = True
    yield "frozen 50 %", frozen
    rounds = settings(importance="alpha_t", share=0.3, rounds=2, decay=1.0)
    yield "alpha_t rounds 2 x 30 %", rounds
    unrecovered = settings(importance="alpha_t", share=0.5)
    unrecovered.recover.iterations = 0
    yield "alpha_t unrecovered 50 %", unrecovered


def row(name: str, gaussians: Gaussians, size: int, photographs: Photographs, seconds: float):
    """Print one line of the table."""
    decibels, similarity = quality(gaussians, photographs)
    print(
        f"| {name} | {len(gaussians)} | {size / 1e6:.2f} | {decibels:.2f} | {similarity:.4f} | "
        f"{seconds:.0f} |",
        flush=True,
    )


def ply_bytes(folder: Path, model: Model) -> int:
    """Bytes of the PLY of a model."""
    path = folder / "measured.ply"
    write_ply(path, model[0], filter_3d=model[1])
    return path.stat().st_size


def prune_rows(
    arguments: argparse.Namespace, frame0: Frame0Config, photographs: Photographs, model: Model
) -> CompressResult | None:
    """A row for each pruning; hands back the one named CHOSEN."""
    chosen = None
    for name, config in variants(arguments.recover):
        if arguments.variants and not any(word in name for word in arguments.variants):
            continue
        started = time.perf_counter()
        result = compress(
            config,
            frame0,
            photographs.training,
            photographs.images,
            model[0],
            BLACK,
            SEED,
            filter_3d=model[1],
            first_iteration=frame0.iterations,
        )
        seconds = time.perf_counter() - started
        size = ply_bytes(arguments.model, (result.gaussians, result.filter_3d))
        row(name, result.folded, size, photographs, seconds)
        chosen = result if name == CHOSEN else chosen
    return chosen


def distilled(
    arguments: argparse.Namespace,
    frame0: Frame0Config,
    photographs: Photographs,
    model: Model,
    pruned: CompressResult,
) -> Iterator[tuple[str, Model]]:
    """The pruned model, and students of it at lower SH degrees."""
    kept = (pruned.gaussians, pruned.filter_3d)
    yield f"degree {kept[0].sh_degree}", kept
    for degree in arguments.degrees:
        for steps in (0, arguments.recover):
            started = time.perf_counter()
            student = distill(
                DistillConfig(sh_degree=degree, iterations=steps),
                frame0.rates,
                folded(*model),
                kept[0],
                photographs.training,
                BLACK,
                SEED,
                filter_3d=kept[1],
            )
            name = f"degree {degree}" + (" distilled" if steps else " cut off")
            state = (student, kept[1])
            seconds = time.perf_counter() - started
            row(name, folded(*state), ply_bytes(arguments.model, state), photographs, seconds)
            if steps:
                yield name, state


def quantise_rows(
    arguments: argparse.Namespace, photographs: Photographs, name: str, model: Model
) -> None:
    """Rows for the quantised file of one model, with several codebooks."""
    gaussians = folded(*model)
    importance = count_importance(gaussians, photographs.training, "alpha_t")
    significance = global_significance(model[0], importance)
    default = QuantiseConfig()
    for label, config in {
        "half precision": replace(default, share=0.0),
        "60 % coded": default,
        "60 % coded, own DC": replace(default, keep_dc=True),
        "all coded, own DC": replace(default, share=1.0, keep_dc=True),
        "60 % coded, 1024 entries": replace(default, codebook=1024),
    }.items():
        started = time.perf_counter()
        path = arguments.model / "quantised.safetensors"
        size = write_quantised(path, quantise(config, gaussians, significance, SEED))
        seconds = time.perf_counter() - started
        row(f"{name}, {label}", read_quantised(path).decode(), size, photographs, seconds)


def main() -> None:
    """Train, then print the table."""
    arguments = parse_arguments()
    torch.set_num_threads(1)
    words = [f"root={arguments.root}", f"output={arguments.model}", *arguments.overrides]
    config = load_config(Frame0RunConfig, arguments.config, words)
    frame0 = config.frame0
    photographs = read_photographs(
        arguments.root,
        videos=arguments.videos,
        resolution=arguments.resolution,
        split=config.split,
        held_out=config.held_out,
    )
    model = train(arguments, photographs, frame0)
    print("| variant | Gaussians | MB | PSNR | SSIM | s |\n|---|---|---|---|---|---|")
    row("trained", folded(*model), ply_bytes(arguments.model, model), photographs, 0)
    pruned = prune_rows(arguments, frame0, photographs, model)
    if pruned is None:
        return
    for name, state in distilled(arguments, frame0, photographs, model, pruned):
        quantise_rows(arguments, photographs, name, state)


if __name__ == "__main__":
    main()

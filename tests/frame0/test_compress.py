"""Pruning with recovery, distillation and quantisation: what they keep, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from igs.config.compress import CompressConfig, DistillConfig, QuantiseConfig
from igs.config.frame0 import Frame0Config
from igs.config.load import ConfigError
from igs.frame0 import Frame0Trainer
from igs.frame0.compress import CompressResult, compress, split_steps
from igs.frame0.distill import cut_sh, distill, pseudo_view
from igs.frame0.quantise import quantise, read_quantised, write_quantised
from igs.gaussians import Gaussians, apply_filter_3d, compute_filter_3d
from igs.gaussians.lightgaussian_codebook import nearest_entries, train_codebook
from igs.metrics import psnr
from igs.render import render, to_float, to_uint8
from igs.scene import Camera

BLACK = torch.zeros(3)
N = 150


def truth(degree: int = 1) -> Gaussians:
    generator = torch.Generator().manual_seed(1)
    sh = torch.randn(N, (degree + 1) ** 2, 3, generator=generator) * 0.2
    sh[:, 0] *= 5
    return Gaussians(
        means=torch.randn(N, 3, generator=generator) * 0.4 + torch.tensor([0, 0, 3.0]),
        log_scales=torch.full((N, 3), -2.4),
        quats=torch.randn(N, 4, generator=generator),
        opacity_logits=torch.full((N,), 2.0),
        sh=sh,
    )


def capture(gaussians: Gaussians) -> tuple[list[Camera], dict[str, np.ndarray]]:
    cameras, images = [], {}
    for i in range(5):
        pose = np.eye(4)
        pose[0, 3] = 0.3 * (i - 2)
        camera = Camera(f"c{i}", 56, 40, 60.0, 60.0, 28.0, 20.0, pose)
        with torch.no_grad():
            images[camera.name] = to_uint8(render(gaussians, camera).color)
        cameras.append(camera)
    return cameras, images


def redundant() -> Gaussians:
    """Every Gaussian twice: the second, fainter copy adds next to nothing."""
    first = truth()
    faint = first.replace(opacity_logits=first.opacity_logits - 6)
    return Gaussians.concatenate([first, faint])


def settings(**prune: object) -> CompressConfig:
    config = CompressConfig()
    config.recover.iterations = 40
    config.prune = replace(config.prune, share=0.5, **prune)
    return config


def run(
    config: CompressConfig, start: Gaussians | None = None, with_filter: bool = True
) -> tuple[CompressResult, list[Camera], dict[str, np.ndarray]]:
    cameras, images = capture(truth())
    start = redundant() if start is None else start
    filter_3d = compute_filter_3d(start.means, cameras) if with_filter else None
    frame0 = Frame0Config(sh_degree=start.sh_degree, decay_steps=200, iterations=200)
    result = compress(
        config, frame0, cameras, images, start, BLACK, 0, filter_3d=filter_3d, first_iteration=200
    )
    return result, cameras, images


def quality(gaussians: Gaussians, cameras: list[Camera], images: dict[str, np.ndarray]) -> float:
    with torch.no_grad():
        views = [(render(gaussians, c).color, to_float(images[c.name])) for c in cameras]
    return float(np.mean([psnr(a, b) for a, b in views]))


@pytest.mark.parametrize("importance", ["opacity", "opacity_t", "alpha_t"])
def test_the_redundant_half_goes_and_recovery_makes_up_for_it(importance: str) -> None:
    result, cameras, images = run(settings(importance=importance))
    assert len(result.gaussians) == N
    # By weight, what stands behind others goes before their faint copies do.
    assert (result.kept < N).float().mean() > (0.8 if importance == "alpha_t" else 0.95)
    assert quality(result.folded, cameras, images) > quality(redundant(), cameras, images) - 0.3


def test_recovery_moves_positions_unless_the_original_fault_is_asked_for() -> None:
    start = redundant()
    moved = run(settings())[0]
    assert not torch.equal(moved.gaussians.means, start.means[moved.kept])
    config = settings()
    config.recover.freeze_means = True
    frozen = run(config)[0]
    assert torch.equal(frozen.gaussians.means, start.means[frozen.kept])
    assert not torch.equal(frozen.gaussians.sh, start.sh[frozen.kept])


def test_the_filter_is_computed_anew_and_left_out_of_models_without() -> None:
    result, cameras, _ = run(settings())
    assert result.filter_3d is not None
    torch.testing.assert_close(result.filter_3d, compute_filter_3d(result.gaussians.means, cameras))
    assert run(settings(), with_filter=False)[0].filter_3d is None


def test_rounds_prune_what_the_decay_says_and_rows_are_traced() -> None:
    config = settings(rounds=2, decay=0.5)
    config.recover.iterations = 0
    result, _, _ = run(config)
    # Thresholds are at rank int(share (N - 1)), and that one goes too.
    first = 2 * N - (int(0.5 * (2 * N - 1)) + 1)
    assert len(result.gaussians) == first - (int(0.25 * (first - 1)) + 1)
    start = redundant()
    assert torch.equal(result.gaussians.means, start.means[result.kept])
    assert len(result.importance) == result.num_before == 2 * N
    assert split_steps(10, 3) == [3, 3, 4]


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = run(settings())[0], run(settings())[0]
    pairs = zip(
        first.gaussians.tensors().values(), second.gaussians.tensors().values(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_trainer_of_the_caller_is_used() -> None:
    cameras, images = capture(truth())
    seen = []

    def make(config: Frame0Config, start: Gaussians, seed: int) -> Frame0Trainer:
        seen.append((len(start), seed, config.density.until))
        return Frame0Trainer(config, cameras[:2], images, start, BLACK, seed)

    frame0 = Frame0Config(sh_degree=1, iterations=200)
    config = settings(rounds=2)
    config.recover.iterations = 4
    compress(config, frame0, cameras, images, redundant(), BLACK, 5, make_trainer=make)
    assert [row[1:] for row in seen] == [(5, 0), (6, 0)]
    assert frame0.density.until > 0  # the caller's settings stay as they were


def test_nothing_left_and_bad_settings_are_refused() -> None:
    config = settings()
    config.prune.share = 1.0
    with pytest.raises(ValueError, match="leaves none of 300 Gaussians"):
        run(config)
    config.prune.type = "volume"
    with pytest.raises(ConfigError, match=r"prune\.type"):
        run(config)


def test_distillation_beats_cutting_off() -> None:
    teacher = truth(degree=2)
    cameras, images = capture(teacher)
    config = DistillConfig(sh_degree=0, iterations=150, rate_interval=100)
    student = distill(config, Frame0Config().rates, teacher, teacher, cameras, BLACK, 0)
    assert student.sh_degree == 0
    cut = quality(cut_sh(teacher, 0), cameras, images)
    assert quality(student, cameras, images) > cut + 1.0
    assert torch.equal(student.means, teacher.means)
    assert torch.equal(student.opacity_logits, teacher.opacity_logits)
    assert not torch.equal(student.log_scales, teacher.log_scales)


def test_distillation_keeps_to_its_filter_and_its_groups() -> None:
    teacher = truth(degree=1)
    cameras, _ = capture(teacher)
    filter_3d = compute_filter_3d(teacher.means, cameras)
    config = DistillConfig(sh_degree=1, iterations=2, train=["sh"])
    folded = apply_filter_3d(teacher, filter_3d)
    student = distill(
        config, Frame0Config().rates, folded, teacher, cameras, BLACK, 0, filter_3d=filter_3d
    )
    assert torch.equal(student.log_scales, teacher.log_scales)
    # Student and teacher are the same under the filter: there is next to nothing to learn.
    assert float((student.sh - teacher.sh).abs().max()) < 0.01
    with pytest.raises(ValueError, match="has degree 1"):
        distill(
            DistillConfig(sh_degree=2), Frame0Config().rates, teacher, teacher, cameras, BLACK, 0
        )


def test_pseudo_views_move_and_do_not_turn() -> None:
    camera = capture(truth())[0][1]
    generator = torch.Generator().manual_seed(0)
    moved = [pseudo_view(camera, 0.1, generator) for _ in range(400)]
    offsets = np.stack([m.center - camera.center for m in moved])
    assert np.allclose(offsets.std(0), 0.1, rtol=0.15)
    assert np.allclose(offsets.mean(0), 0, atol=0.02)
    assert all(
        np.array_equal(m.world_to_camera[:3, :3], camera.world_to_camera[:3, :3]) for m in moved
    )


def test_a_codebook_finds_clusters_and_repeats() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(8, 5, generator=generator) * 10
    vectors = centres.repeat(50, 1) + 0.01 * torch.randn(400, 5, generator=generator)
    books = [
        train_codebook(
            vectors,
            torch.ones(400),
            8,
            steps=60,
            batch=200,
            decay=0.8,
            replaced=1,
            generator=torch.Generator().manual_seed(4),
        )
        for _ in range(2)
    ]
    assert torch.equal(books[0].entries, books[1].entries)
    distance = torch.cdist(centres, books[0].entries).amin(-1)
    assert (distance < 0.1).all()
    brute = torch.cdist(vectors.double(), books[0].entries.double()).argmin(-1)
    assert torch.equal(nearest_entries(vectors, books[0].entries), brute)


def test_weighty_vectors_are_met_better() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(300, 4, generator=generator)
    weights = torch.where(torch.arange(300) < 30, 1000.0, 1.0)
    book = train_codebook(
        vectors, weights, 20, steps=80, batch=300, decay=0.8, replaced=2, generator=generator
    )
    error = (vectors - book.entries[book.codes]).square().sum(-1)
    assert float(error[:30].mean()) < 0.5 * float(error[30:].mean())


@pytest.mark.parametrize("keep_dc", [False, True])
def test_quantised_file_comes_back_as_it_was_written(tmp_path: Path, keep_dc: bool) -> None:
    gaussians = truth(degree=2)
    significance = torch.rand(N, generator=torch.Generator().manual_seed(2))
    config = QuantiseConfig(share=0.6, codebook=16, steps=20, keep_dc=keep_dc)
    quantised = quantise(config, gaussians, significance, 0)
    size = write_quantised(tmp_path / "q.safetensors", quantised)
    assert size == (tmp_path / "q.safetensors").stat().st_size < quantised.num_bytes + 2048
    read = read_quantised(tmp_path / "q.safetensors")
    assert all(np.array_equal(read.arrays[k], v) for k, v in quantised.arrays.items())
    decoded, order = read.decode(), significance.argsort(stable=True)
    assert torch.equal(decoded.means, gaussians.means[order])
    torch.testing.assert_close(decoded.log_scales, gaussians.log_scales[order], atol=2e-3, rtol=0)
    coded = int(0.6 * N)
    # The significant ones are only rounded, the others share 16 colours.
    torch.testing.assert_close(decoded.sh[coded:], gaussians.sh[order][coded:], atol=2e-3, rtol=0)
    assert len(decoded.sh[:coded, 1:].reshape(coded, -1).unique(dim=0)) <= 16
    same_dc = torch.allclose(decoded.sh[:coded, 0], gaussians.sh[order][:coded, 0], atol=4e-3)
    assert same_dc == keep_dc


def test_half_precision_alone_looks_the_same() -> None:
    gaussians = truth()
    cameras, _ = capture(gaussians)
    decoded = quantise(QuantiseConfig(share=0.0), gaussians, torch.rand(N), 0).decode()
    with torch.no_grad():
        a, b = (render(g, cameras[0]).color for g in (gaussians, decoded))
    assert psnr(a, b) > 45


def test_quantisation_refuses_what_it_cannot_store_or_read(tmp_path: Path) -> None:
    gaussians = truth()
    with pytest.raises(ValueError, match="150 Gaussians but significance"):
        quantise(QuantiseConfig(), gaussians, torch.zeros(3), 0)
    far = gaussians.replace(opacity_logits=torch.full((N,), 1e6))
    with pytest.raises(ValueError, match="opacity_logits: half precision"):
        quantise(QuantiseConfig(), far, torch.zeros(N), 0)
    path = tmp_path / "q.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_quantised(path)
    path.write_bytes(b"not at all")
    with pytest.raises(ValueError, match="not quantised Gaussians"):
        read_quantised(path)
    write_quantised(
        path, quantise(QuantiseConfig(codebook=8, steps=1), gaussians, torch.rand(N), 0)
    )
    arrays = load_file(path)
    for change in ({"codes": arrays["codes"] + 9}, {"quats": arrays["quats"][:-1]}):
        save_file({**arrays, **change}, path)
        with pytest.raises(ValueError, match=r"q\.safetensors: not quantised Gaussians: \w+"):
            read_quantised(path)

"""Measure the container: bytes a frame, loss, decode speed, and stills beside SPZ.

    python bench/fvv.py [--gaussians 150000] [--frames 60] [--preset balanced] [--quick]
    python bench/fvv.py --run outputs/demo --cameras examples/demo_scene/cameras.json --max-loss 0.1

The synthetic scene has N3DV-like motion: a fifth of the Gaussians belong to moving parts; every
fifth frame is a key frame, in which these are refined (positions, shapes, opacities, colours and
harmonics all change a little, one in a hundred is removed and as many are added, and the rows come
in another order, as our refinement leaves them); the frames between are moved from the key frame.
Quality is measured against renders of the true scene, in which nothing is ever refined: `loss` is
what coding takes from the PSNR of the uncompressed stream.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from igs.config.fvv import PRESETS, FvvConfig
from igs.fvv import Decoder, Encoder, FvvWriter, SourceFrame, find_frames, make_header
from igs.fvv.chunks import INTRA
from igs.fvv.quality import config_for_loss, distortion, loss_db, sample_views
from igs.fvv.stills import read_spz, write_spz
from igs.fvv.weights import Weigher
from igs.gaussians import Gaussians
from igs.metrics.image import decibels
from igs.motion import Motion, warp
from igs.scene import Camera, read_rig
from igs.scene.synthetic import SyntheticScene, SyntheticSceneConfig

INTERVAL = 5
WEIGHING_VIEWS, HOLD_MOST = 6, 6.0  # as `igs encode --weigh` takes them
# Standard deviations of what a reconstruction is off by: position in the Gaussian's own second
# largest scale, the others in their stored units.
NOISE = {"means": 0.1, "log_scales": 0.05, "quats": 0.02, "opacity_logits": 0.2, "sh": 0.05}
MEMORY = 0.9  # of the error from one key frame to the next
EXCHANGED = 0.01
MOTION_ERROR, MOTION_NOISE = 0.03, 0.002  # shares of the translation, smooth and of each alone


class Stream:
    """The synthetic stream; iterate over it as often as needed, it is the same each time.

    Args:
        gaussians: how many.
        frames: time steps.
        seed: of the scene and of all noise.
    """

    def __init__(self, gaussians: int, frames: int, seed: int = 7) -> None:
        config = SyntheticSceneConfig(
            num_gaussians=(gaussians, gaussians),
            num_parts=(5, 5),
            moving_share=(0.2, 0.2),
            still_share=0.0,
            still_scenes=0.0,
            speed=(0.002, 0.01),
            leaving_share=0.0,
            num_frames=frames,
            rig_kinds=("arc",),
            image_long_side=(640, 640),
        )
        self.seed, self.frames = seed, frames
        self.scene = SyntheticScene.draw(config, seed)

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Of the scene's rig."""
        return self.scene.cameras

    def truth(self, time_step: float) -> Gaussians:
        """The scene without any error."""
        return Gaussians(**vars(self.scene.at(time_step)))

    def __iter__(self) -> Iterator[SourceFrame]:
        rng = np.random.default_rng(self.seed)
        truth = self.truth(0)
        ids = np.arange(len(truth))
        error = _noise(rng, truth)
        key, key_time = _off(truth, error), 0
        yield SourceFrame(0, 0.0, key)
        for t in range(1, self.frames):
            motion = self._motion(rng, key_time, t, ids)
            if t % INTERVAL:
                yield SourceFrame(t, t / 30, warp(key, motion), is_key=False, same_rows=True)
                continue
            active = self.scene.moving.numpy()[ids]
            ids, error = self._exchange(rng, ids, error, active)
            active = self.scene.moving.numpy()[ids]
            # As our refinement leaves them: what was free to change comes first.
            order = np.concatenate([np.flatnonzero(active), np.flatnonzero(~active)])
            ids, active, error = ids[order], active[order], _take(error, order)
            truth = self.truth(t).select(torch.from_numpy(ids))
            fresh = _noise(rng, truth)
            for name, old in error.items():
                drawn = MEMORY * old + np.sqrt(1 - MEMORY**2) * fresh[name]
                old[active] = drawn[active]
            # What stands still keeps the very bits it had.
            key, key_time = _still(_off(truth, error), self.truth(0), ids, error, active), t
            yield SourceFrame(t, t / 30, key)

    def _motion(self, rng: np.random.Generator, start: int, end: int, ids: np.ndarray) -> Motion:
        translation, rotation = self.scene.motion(start, end)
        index = torch.from_numpy(np.flatnonzero(self.scene.moving.numpy()[ids]))
        rows = torch.from_numpy(ids)[index]
        translation, rotation = translation[rows], rotation[rows]
        length = translation.norm(dim=1, keepdim=True)
        wobble = self._smooth(rng, self.scene.at(start).means[rows])
        wobble += torch.from_numpy(rng.normal(0, MOTION_NOISE, translation.shape)).float()
        return Motion(index, translation + wobble * length, rotation)

    def _smooth(self, rng: np.random.Generator, means: torch.Tensor) -> torch.Tensor:
        """(n, 3) error of a motion interpolated between anchors, as a share of its length."""
        extent = float((means.amax(0) - means.amin(0)).max())
        waves = torch.from_numpy(rng.normal(0, 6 / extent, (3, 8))).float()
        phase = torch.from_numpy(rng.uniform(0, 2 * np.pi, 8)).float()
        weights = torch.from_numpy(rng.normal(0, 0.5, (8, 3))).float()
        return MOTION_ERROR * torch.sin(means @ waves + phase) @ weights

    def _exchange(
        self, rng: np.random.Generator, ids: np.ndarray, error: dict, active: np.ndarray
    ) -> tuple[np.ndarray, dict]:
        rows = np.flatnonzero(active)
        count = int(len(rows) * EXCHANGED)
        keep = np.ones(len(ids), bool)
        keep[rng.choice(rows, count, replace=False)] = False
        parents = rng.choice(np.flatnonzero(keep & active), count, replace=False)
        order = np.concatenate([np.flatnonzero(keep), parents])
        error = _take(error, order)
        error["means"][-count:] += rng.normal(0, 1, (count, 3))
        return ids[order], error


def _noise(rng: np.random.Generator, like: Gaussians) -> dict[str, np.ndarray]:
    return {n: rng.normal(0, NOISE[n], tuple(t.shape)) for n, t in like.tensors().items()}


def _take(error: dict[str, np.ndarray], order: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[order] for name, values in error.items()}


def _off(truth: Gaussians, error: dict[str, np.ndarray]) -> Gaussians:
    size = truth.scales.sort(dim=1).values[:, 1:2].numpy()
    units = dict.fromkeys(NOISE, 1.0) | {"means": size}
    noisy = {
        name: torch.from_numpy((tensor.numpy() + error[name] * units[name]).astype(np.float32))
        for name, tensor in truth.tensors().items()
    }
    made = Gaussians(**noisy)
    return made.replace(quats=made.unit_quats)


def _still(
    key: Gaussians, first: Gaussians, ids: np.ndarray, error: dict, active: np.ndarray
) -> Gaussians:
    still = _off(first.select(torch.from_numpy(ids)), error)
    mask = torch.from_numpy(active)
    pairs = {n: (t, getattr(still, n)) for n, t in key.tensors().items()}
    return Gaussians(
        **{n: torch.where(mask.view(-1, *[1] * (a.ndim - 1)), a, b) for n, (a, b) in pairs.items()}
    )


class Report:
    """Figures of one stream, gathered frame by frame.

    Args:
        cameras: to measure the loss in.
        truth: frame index to what the frame should look like; None measures against the
            uncompressed stream, as if that were `psnr` dB good.
        psnr: see `truth`.
    """

    def __init__(self, cameras, truth, psnr: float = 35.0, every: int = 7) -> None:
        self.cameras, self.truth, self.psnr, self.every = cameras, truth, psnr, every
        self.sizes: dict[str, list[int]] = {"intra": [], "key": [], "candidate": []}
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.losses: list[float] = []
        self.raw = 0

    def add(self, frame: SourceFrame, chunks, decoded, wall: float, cpu: float) -> None:
        """Note one frame."""
        kind = "intra" if chunks[0].header.flags & INTRA else "key" if frame.is_key else "candidate"
        self.sizes[kind].append(sum(len(c) for c in chunks))
        self.seconds.append(wall)
        self.cpu.append(cpu)
        per_row = 4 * (18 + 3 * (frame.gaussians.sh.shape[1] - 1))  # a PLY of this family
        self.raw += len(frame.gaussians) * per_row
        if frame.index % self.every == 0:
            self.losses.append(self._loss(frame, decoded.gaussians))

    def _loss(self, frame: SourceFrame, coded: Gaussians) -> float:
        total = 0.0
        for camera in self.cameras:
            if self.truth is None:
                added = distortion(frame.gaussians, coded, [camera], (0, 0, 0))
                total += loss_db(added, self.psnr)
                continue
            true = self.truth(frame.index)
            plain = decibels(distortion(true, frame.gaussians, [camera], (0, 0, 0)))
            total += plain - decibels(distortion(true, coded, [camera], (0, 0, 0)))
        return total / len(self.cameras)

    def show(self, file_bytes: int) -> None:
        """Print everything."""
        frames = len(self.seconds)
        for kind, sizes in self.sizes.items():
            if sizes:
                print(f"  {kind:10s} {len(sizes):4d} frames, mean {np.mean(sizes) / 1000:9.1f} KB")
        each = file_bytes / frames / 1000
        print(f"  file       {file_bytes / 1000:.0f} KB, {each:.1f} KB a frame")
        print(f"  raw PLYs   {self.raw / 1000:.0f} KB, {self.raw / file_bytes:.1f} times as large")
        print(f"  loss       mean {np.mean(self.losses):.3f} dB, most {max(self.losses):.3f} dB")
        wall, cpu = np.median(self.seconds[1:]), np.mean(self.cpu[1:])
        print(f"  decode     {1 / cpu:.0f} frames/s in one core's time, mean {1000 * cpu:.1f} ms;")
        print(f"             median by the clock {1 / wall:.0f} frames/s")


def measure(frames, config: FvvConfig, report: Report, weigh: Weigher | None = None) -> None:
    """Encode into a file, decode at once, print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.fvv"
        writer, encoder, decoder = None, None, None
        for frame in frames:
            if writer is None or encoder is None or decoder is None:
                header = make_header(frame.gaussians, config)
                writer, encoder = FvvWriter(path, header), Encoder(header, config, weigh)
                decoder = Decoder(header)
            chunks = encoder.push(frame)
            writer.write(chunks)
            start, cpu = time.perf_counter(), time.process_time()
            decoded = decoder.decode(chunks)
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            report.add(frame, chunks, decoded, wall, cpu)
        assert writer is not None
        writer.close()
        report.show(path.stat().st_size)


def compare_stills(gaussians: Gaussians, truth: Gaussians, cameras, config: FvvConfig) -> None:
    """One frame as an intra frame at several step sizes, and as .spz of default settings."""

    def loss(coded: Gaussians) -> float:
        plain = decibels(distortion(truth, gaussians, cameras, (0, 0, 0)))
        return plain - decibels(distortion(truth, coded, cameras, (0, 0, 0)))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.spz"
        write_spz(path, gaussians)
        size = path.stat().st_size / 1000
        print(f"  spz          {size:8.1f} KB, loss {loss(read_spz(path)):.4f} dB")
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        scaled = config.coarser(factor)
        header = make_header(gaussians, scaled)
        chunks = Encoder(header, scaled).push(SourceFrame(0, 0.0, gaussians))
        coded = Decoder(header).decode(chunks).gaussians
        size = sum(len(c) for c in chunks) / 1000
        print(f"  steps x{factor:<4} {size:8.1f} KB, loss {loss(coded):.4f} dB")


def of_run(arguments: argparse.Namespace, config: FvvConfig) -> None:
    """The figures of a run."""
    sequence = find_frames([arguments.run])
    cameras = list(read_rig(arguments.cameras, undistort=True).cameras.values())
    psnr = sequence.psnr or 35.0
    print(f"{arguments.run}: {sequence.num_frames} frames, {psnr:.2f} dB")
    weigh = Weigher(sample_views(cameras, WEIGHING_VIEWS)) if arguments.weigh else None
    if arguments.max_loss is not None:
        config = config_for_loss(
            list(sequence.frames(7)),
            sample_views(cameras, 3),
            config,
            max_loss=arguments.max_loss,
            psnr=psnr,
            background=sequence.background,
            weigh=weigh,
        )
        print(f"  steps      {config}")
    # Other views than those that the settings were chosen in.
    report = Report(cameras[1 :: max(len(cameras) // 2, 1)], None, psnr)
    measure(sequence.frames(), config, report, weigh)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--gaussians", type=int, default=150_000)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="balanced")
    parser.add_argument("--quick", action="store_true", help="20,000 Gaussians, 12 frames")
    parser.add_argument("--run", help="output folder of a run instead of the synthetic scene")
    parser.add_argument("--cameras", help="camera file of that run's rig")
    parser.add_argument("--max-loss", type=float, help="of a run: choose the steps by rendering")
    parser.add_argument("--refine", type=int, default=1, help="steps of the refinement layer")
    parser.add_argument("--weigh", action="store_true", help="hold longer what matters little")
    parser.add_argument("--stills", action="store_true", help="only the comparison with .spz")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(PRESETS[arguments.preset], refine=arguments.refine)
    if arguments.weigh:
        config = replace(config, hold_most=HOLD_MOST)
    if arguments.run:
        of_run(arguments, config)
        return
    size = (20_000, 12) if arguments.quick else (arguments.gaussians, arguments.frames)
    stream = Stream(*size)
    cameras = stream.cameras[:: max(len(stream.cameras) // 2, 1)][:2]
    print(f"synthetic: {len(stream.scene)} Gaussians, SH degree 1, {size[1]} frames")
    if not arguments.stills:
        others = [camera for camera in stream.cameras if camera not in cameras]
        weigh = Weigher(sample_views(others, WEIGHING_VIEWS)) if arguments.weigh else None
        measure(stream, config, Report(cameras, stream.truth), weigh)
    first = next(iter(stream)).gaussians
    print("one frame by itself")
    compare_stills(first, stream.truth(0), cameras, config)


if __name__ == "__main__":
    main()

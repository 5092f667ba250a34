"""The loop on a tiny motion network: it learns, it can be broken off, it writes what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gmflow import read_tensors
from toys import OverfitTask, ToyScenes, ToyTask, toy_config, toy_task

from igs.config import ConfigError, TrainConfig, load_config
from igs.config.training import LossWeights
from igs.motion import AGMNet, load_agm
from igs.training.batches import Batch, seeded
from igs.training.checkpoint import Checkpoint, latest_checkpoint
from igs.training.log import read_scalars
from igs.training.loop import Trainer, make_accelerator
from igs.training.networks import make_agm
from igs.training.run import _from_checkpoint
from igs.training.sample import TrainingSample


def train(config: TrainConfig, kind: type[ToyTask] = ToyTask, resume: bool = False) -> Checkpoint:
    network = make_agm(_from_checkpoint(config, resume))
    found = Trainer(config, kind(config, network), resume).run()
    assert found is not None
    return found


def course(output: Path, name: str = "train/loss") -> list[float]:
    return [line[name] for line in read_scalars(output) if name in line]


@pytest.mark.parametrize(
    ("losses", "factor"),
    [(LossWeights(0.0, 0.0, lambda_motion=1.0), 5.0), (LossWeights(), 3.0)],
    ids=["true motion", "look"],
)
def test_it_learns_two_scenes_by_heart(tmp_path: Path, losses: LossWeights, factor: float) -> None:
    config = toy_config(
        tmp_path,
        steps_per_epoch=60,
        losses=losses,
        optimiser__rate=3e-3,
        optimiser__warmup_steps=5,
    )
    train(config, OverfitTask)
    found = course(tmp_path)
    assert len(found) == 60
    assert found[-1] < found[0] / factor


class InterruptedRunError(Exception):
    """What a test throws into a run."""


def test_resume_goes_on_to_the_same_losses(tmp_path: Path) -> None:
    """Broken off in the second epoch, between two of its steps; bit for bit."""
    changes = {"epochs": 2, "losses": LossWeights(1.0, 0.2, 1.0), "validation__samples": 1}
    whole = train(toy_config(tmp_path / "whole", **changes))

    config = toy_config(tmp_path / "parts", save_minutes=1e-9, **changes)

    def stop(progress: object) -> None:
        if progress.step == 6:  # type: ignore[attr-defined]
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        Trainer(config, toy_task(config), progress=stop).run()
    kept = latest_checkpoint(tmp_path / "parts")
    assert kept is not None
    assert kept.step == 5
    torch.rand(7)  # another process would not find the random state as it was left
    parts = train(config, resume=True)

    assert course(tmp_path / "parts") == course(tmp_path / "whole")
    first, second = (read_tensors(c.model)[0] for c in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert whole.state()["random"][0]["python"] == parts.state()["random"][0]["python"]
    steps = [line["step"] for line in read_scalars(tmp_path / "parts") if "train/loss" in line]
    assert steps == list(range(1, 9))  # nothing is logged twice


def test_resume_asks_for_the_same_settings(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint to go on from"):
        Trainer(config, toy_task(config), resume=True)
    train(config)
    with pytest.raises(FileExistsError, match="holds a run of 4 steps; go on with it"):
        Trainer(config, toy_task(config))
    other = toy_config(tmp_path, optimiser__rate=1e-3)
    with pytest.raises(ConfigError, match=r"made with optimiser\.rate=0\.0004, not 0\.001"):
        Trainer(other, toy_task(other), resume=True)
    # A complete run has nothing left to do.
    assert Trainer(config, toy_task(config), resume=True).run() is None


def test_what_is_written(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = toy_config(
        tmp_path, epochs=3, steps_per_epoch=2, keep_epochs=2, losses=LossWeights(1.0, 0.2, 1.0)
    )
    train(config)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "1",
        "2",
        "config.yaml",
        "metrics.jsonl",
        "runs",
    ]
    assert load_config(TrainConfig, tmp_path / "config.yaml") == config
    board = events.EventAccumulator(str(tmp_path / "runs")).Reload()
    assert set(board.Tags()["scalars"]) == {
        *(f"train/{n}" for n in ("loss", "image", "translation", "rotation")),
        *(f"train/{n}" for n in ("learning_rate", "gradient_norm", "seconds_per_step")),
        *(f"validation/{n}" for n in ("loss", "image", "translation", "rotation")),
        *(f"validation/{n}" for n in ("psnr", "psnr_still", "epe", "epe_still", "drift")),
    }
    assert set(board.Tags()["images"]) == {"validation/0/target", "validation/0/prediction"}
    assert [event.step for event in board.Scalars("validation/psnr")] == [2, 4, 6]


def test_a_checkpoint_is_a_network(tmp_path: Path) -> None:
    config = toy_config(tmp_path, validation__samples=0)
    task = toy_task(config)
    checkpoint = Trainer(config, task).run()
    assert checkpoint is not None
    loaded = load_agm(checkpoint.model)
    assert loaded.config == task.network.config
    trained = task.network.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in loaded.state_dict().items())
    # And another run may start from it.
    again = make_agm(replace(config, weights=str(checkpoint.model), flow_weights=None))
    assert torch.equal(again.decoder.translation.weight, loaded.decoder.translation.weight)


def test_flow_features_are_trained_only_on_request(tmp_path: Path) -> None:
    for fine_tune in (False, True):
        config = toy_config(tmp_path / str(fine_tune), fine_tune_flow=fine_tune)
        task = toy_task(config)
        before = {k: v.clone() for k, v in task.network.flow.state_dict().items()}
        Trainer(config, task).run()
        moved = [
            k for k, v in task.network.flow.state_dict().items() if not torch.equal(v, before[k])
        ]
        assert len(moved) == (len(before) if fine_tune else 0)


def test_validation_is_the_mean_over_all_samples(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    task = toy_task(config)
    trainer = Trainer(config, task)
    found = trainer.validate()
    network: AGMNet = task.network.eval()
    scenes = ToyScenes(config.validation.seed)
    errors, psnrs = [], []
    for index in range(config.validation.samples):
        sample = scenes.sample(index)
        motion = task.model(Batch([index], [sample]))[0]
        assert sample.moving is not None
        assert sample.true_translation is not None
        rows = sample.moving[motion.index]
        true = sample.true_translation[motion.index]
        errors.append((motion.translation - true).norm(dim=1)[rows])
        psnrs.append(task.measure([motion], Batch([index], [sample]))["psnr"][0])
    half_diagonal = 25 * 3
    expected = torch.cat(errors).mean() / (half_diagonal**0.5 / 2)
    assert found["epe"] == pytest.approx(expected.item(), rel=1e-5)
    assert found["epe"] == pytest.approx(found["epe_still"])  # untrained, nothing moves
    assert found["psnr"] == pytest.approx(sum(psnrs) / len(psnrs))
    assert not network.training


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    task = toy_task(config)
    with torch.no_grad():
        task.network.decoder.translation.bias.fill_(float("nan"))
    with pytest.raises(RuntimeError, match=r"step 0: the loss is nan on samples \[0, 1\]"):
        Trainer(config, task).run()


def test_an_empty_box_is_no_motion_and_a_nil_gradient(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    task = toy_task(config)
    sample = ToyScenes(0).sample(0)
    empty = replace(sample, box=torch.tensor([[90.0, 90, 90], [91, 91, 91]]))
    batch = Batch([0, 1], [empty, empty])
    losses = task.losses(task.model.train()(batch), batch)
    losses["loss"].backward()
    assert losses["loss"].item() == 0
    gradients = [p.grad for p in task.network.parameters() if p.requires_grad]
    assert all(g is not None and g.count_nonzero() == 0 for g in gradients)


def test_half_precision_spares_geometry_and_losses(
    tmp_path: Path, fresh_accelerator: Callable[[], None]
) -> None:
    keys, last = {}, {}
    for precision in ("fp32", "bf16"):
        fresh_accelerator()
        config = toy_config(
            tmp_path / precision, precision=precision, losses=LossWeights(1, 0.2, 1)
        )
        trainer = Trainer(config, toy_task(config))
        network = trainer.accelerator.unwrap_model(trainer.model).network
        sample = ToyScenes(0).sample(0)
        with trainer.accelerator.autocast():
            keys[precision] = network.encode_key(*inputs(sample), generator=seeded(0, 0))
        (motion,) = trainer.model(Batch([0], [sample]))
        assert motion.translation.dtype == motion.rotation.dtype == torch.float32
        trainer.run()
        last[precision] = course(tmp_path / precision)[-1]
    for name in ("grid", "weights", "neighbours", "shift", "scale"):
        assert torch.equal(getattr(keys["fp32"], name), getattr(keys["bf16"], name)), name
    assert keys["bf16"].features.dtype == torch.bfloat16
    assert last["bf16"] == pytest.approx(last["fp32"], rel=0.02)
    assert last["bf16"] != last["fp32"]


def inputs(sample: TrainingSample) -> tuple[Any, ...]:
    return (
        sample.gaussians,
        sample.cur_images,
        sample.depth,
        sample.world_to_camera,
        sample.fov,
        sample.box,
    )


def test_half_precision_with_loss_scaling_needs_a_gpu(tmp_path: Path) -> None:
    config = toy_config(tmp_path, precision="fp16")
    with pytest.raises(ConfigError, match="precision: fp16 needs a GPU"):
        make_accelerator(config)

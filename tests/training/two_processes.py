"""A program for `accelerate launch`: what the toy network learns in some steps.

accelerate launch two_processes.py OUTPUT BATCH
"""

import sys
from pathlib import Path

import torch
from toys import toy_config, toy_task

from igs.config.training import LossWeights
from igs.training.batches import batches
from igs.training.loop import Trainer


def main(output: Path, batch: int) -> None:
    """Gradients of the first step, figures of validation: one file a process."""
    config = toy_config(output, batch=batch, steps_per_epoch=2, losses=LossWeights(1.0, 0.2, 1.0))
    task = toy_task(config)
    with torch.no_grad():  # at their neutral start, the heads let no gradient through
        for head in (task.network.decoder.translation, task.network.decoder.rotation):
            head.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    trainer = Trainer(config, task)
    first = next(batches(trainer.source, trainer.plan, 0, 1))
    losses = task.losses(trainer.model(first), first)
    trainer.accelerator.backward(losses["loss"])
    trained = dict(task.network.named_parameters())
    gradients = {n: p.grad.clone() for n, p in trained.items() if p.grad is not None}
    trainer.optimiser.zero_grad()
    trainer.run()
    state = {
        "processes": trainer.accelerator.num_processes,
        "samples": first.indices,
        "gradients": gradients,
        "validation": trainer.validate(),
    }
    torch.save(state, output / f"process{trainer.accelerator.process_index}.pt")
    trainer.accelerator.end_training()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))

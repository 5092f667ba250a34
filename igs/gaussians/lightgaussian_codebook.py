"""A codebook for vectors: weighted k-means by exponential moving averages.

Source: spec `frame0.md`, section 4 (vector quantisation of LightGaussian).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

_VECTORS_AT_ONCE = 4096
_TINY = 1e-12
_CANDIDATES = 8  # least used entries looked at for each that may move


@dataclass(frozen=True)
class Codebook:
    """K entries that stand for many vectors.

    Attributes:
        entries: (K, D) float32.
        codes: (N,) int64, the entry of each vector.
    """

    entries: torch.Tensor
    codes: torch.Tensor


def nearest_entries(vectors: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """(N,) int64: the entry (K, D) of smallest Euclidean distance to each vector (N, D)."""
    half_squares = 0.5 * entries.square().sum(-1)
    codes = [
        (half_squares - part @ entries.T).argmin(-1) for part in vectors.split(_VECTORS_AT_ONCE)
    ]
    return torch.cat(codes) if codes else torch.zeros(0, dtype=torch.int64, device=vectors.device)


def train_codebook(
    vectors: torch.Tensor,
    weights: torch.Tensor,
    size: int,
    *,
    steps: int,
    batch: int,
    decay: float,
    replaced: int,
    generator: torch.Generator,
    progress: Callable[[int, int, float], None] | None = None,
) -> Codebook:
    """Learn a codebook and give every vector its nearest entry.

    Each step assigns a random batch to the entries and moves every entry towards the weighted mean
    of its own; then entries that are little used jump to the vectors of the batch with the largest
    weighted errors, if that gains more than it costs. (Published: the least used jump to the
    weightiest vectors, always, which puts several entries at one place and empties good ones.)

    Args:
        vectors: (N, D) float32, N >= 1.
        weights: (N,) non-negative; how much an error in a vector matters.
        size: entries K; at most N.
        steps: of the k-means; 0 keeps the random start.
        batch: vectors per step, drawn without replacement; all if N is no more.
        decay: share of the past in the moving averages, 0..1.
        replaced: most entries that jump after a step; none does in the last quarter of the steps.
        generator: on the CPU; decides start and batches, so that equal seeds give equal books.
        progress: called with (steps done, `steps`, weighted mean squared error of the batch).

    Raises:
        ValueError: no vectors, a size that is not 1..N, or weights of another shape or negative.
    """
    n = len(vectors)
    if not 1 <= size <= n:
        raise ValueError(f"a codebook of {size} entries for {n} vectors; 1 to {n} fit")
    if weights.shape != (n,) or bool((weights < 0).any()):
        raise ValueError(f"weights: must be ({n},) and not negative")
    # A floor, so that vectors without weight still pull entries that nobody else claims.
    weights = (weights.float() / weights.float().mean().clamp_min(_TINY)).clamp_min(1e-3)
    start = torch.randperm(n, generator=generator)[:size].to(vectors.device)
    entries, mass = vectors[start].clone(), weights[start].clone()
    for step in range(steps):
        drawn = torch.randperm(n, generator=generator)[:batch].to(vectors.device)
        x, w = vectors[drawn], weights[drawn]
        codes = nearest_entries(x, entries)
        errors = (x - entries[codes]).square().sum(-1) * w
        entries, mass = _moved(entries, mass, x, w, codes, decay)
        if replaced and step < steps - steps // 4:
            _replace_unused(entries, mass, x, errors, replaced)
        if progress is not None:
            progress(step + 1, steps, float(errors.sum() / w.sum()))
    return Codebook(entries, nearest_entries(vectors, entries))


def _moved(
    entries: torch.Tensor,
    mass: torch.Tensor,
    x: torch.Tensor,
    w: torch.Tensor,
    codes: torch.Tensor,
    decay: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Entries and their masses after one step of the moving averages."""
    batch_mass = torch.zeros_like(mass).index_add_(0, codes, w)
    batch_sum = torch.zeros_like(entries).index_add_(0, codes, x * w[:, None])
    new_mass = decay * mass + (1 - decay) * batch_mass
    total = decay * mass[:, None] * entries + (1 - decay) * batch_sum
    alive = new_mass > _TINY
    moved = torch.where(alive[:, None], total / new_mass.clamp_min(_TINY)[:, None], entries)
    return moved, new_mass


def _replace_unused(
    entries: torch.Tensor, mass: torch.Tensor, x: torch.Tensor, errors: torch.Tensor, count: int
) -> None:
    """Move the entries that are missed least, where that gains more than it costs; in place."""
    if len(entries) < 2:
        return
    count = min(count, len(entries) // 2, len(x))
    candidates = mass.argsort(stable=True)[: _CANDIDATES * count]
    distance = torch.cdist(entries[candidates], entries)
    distance[torch.arange(len(candidates)), candidates] = torch.inf
    cost, other = distance.square().min(-1)
    cost = cost * mass[candidates]  # what its vectors would lose by going to the next entry
    ranked = cost.argsort(stable=True)
    worst = errors.argsort(descending=True, stable=True)
    chosen: list[int] = []
    relied_on: set[int] = set()
    for i in ranked.tolist():
        if len(chosen) == count or float(cost[i]) >= float(errors[worst[len(chosen)]]):
            break
        if int(candidates[i]) not in relied_on:  # of two equal entries one has to stay
            relied_on.add(int(other[i]))
            chosen.append(i)
    moved = candidates[chosen]
    # A mass of its own would make a newcomer the least used of the next step, and so on for ever.
    entries[moved], mass[moved] = x[worst[: len(chosen)]], mass.mean()

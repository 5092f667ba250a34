"""Adam over Gaussians whose number changes.

Source: spec `frame0.md`, sections 3 and 7 (groups, eps, moments of kept and new rows).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from igs.gaussians.gaussians import Gaussians

_MOMENTS = ("exp_avg", "exp_avg_sq")
# Devices that every supported torch release can run the fused step on.
_FUSED_DEVICES = ("cpu", "cuda")


class GaussianOptimizer:
    """Owns the parameters of N Gaussians and their Adam state.

    Each tensor is a group of its own with its own learning rate: `means`, `log_scales`, `quats`,
    `opacity_logits`, and `sh`, or with `split_sh` the constant colour `sh0` and the rest `shN`
    (the latter absent at degree 0). Groups without a learning rate stay as they are.

    Args:
        gaussians: start values; copied.
        learning_rates: group name to rate; None freezes a group.
        split_sh: give the constant colour a rate of its own.
        eps: added to the root of the second moment; the family's value.

    Raises:
        ValueError: a learning rate for a group that does not exist, a group without one.
    """

    def __init__(
        self,
        gaussians: Gaussians,
        learning_rates: Mapping[str, float | None],
        *,
        split_sh: bool = False,
        eps: float = 1e-15,
    ) -> None:
        self._split_sh = split_sh
        self._parameters = self._leaves(gaussians)
        rates = {k: v for k, v in learning_rates.items() if k != "shN" or k in self._parameters}
        if rates.keys() != self._parameters.keys():
            raise ValueError(
                f"learning rates for {', '.join(sorted(rates))}; the groups are "
                f"{', '.join(sorted(self._parameters))}"
            )
        self._trained = [name for name in self._parameters if rates[name] is not None]
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in self._trained)
        groups = [
            {"params": [self._parameters[name]], "lr": rates[name], "name": name}
            for name in self._trained
        ]
        fused = gaussians.device.type in _FUSED_DEVICES
        self._adam = torch.optim.Adam(groups, lr=0.0, eps=eps, fused=fused) if groups else None

    @property
    def gaussians(self) -> Gaussians:
        """The Gaussians as they stand, differentiable in the trained groups."""
        tensors = dict(self._parameters)
        if self._split_sh:
            parts = [tensors.pop("sh0")] + ([tensors.pop("shN")] if "shN" in tensors else [])
            tensors["sh"] = torch.cat(parts, dim=1)
        return Gaussians(**tensors)

    def __len__(self) -> int:
        return self._parameters["means"].shape[0]

    @property
    def learning_rates(self) -> dict[str, float]:
        """Rate of each trained group."""
        return {name: self._group(name)["lr"] for name in self._trained}

    def set_learning_rate(self, name: str, rate: float) -> None:
        """Set the rate of one trained group from the next step on."""
        self._group(name)["lr"] = rate

    def step(self) -> None:
        """One Adam step on every group that has a gradient."""
        if self._adam is not None:
            self._adam.step()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        if self._adam is not None:
            self._adam.zero_grad(set_to_none=True)

    def rebuild(
        self, gaussians: Gaussians, parents: torch.Tensor, is_new: torch.Tensor | None = None
    ) -> None:
        """Exchange all rows. Moments follow their row; those of new rows start at zero.

        Gradients are dropped: they belong to the old rows.

        Args:
            gaussians: M new Gaussians.
            parents: (M,) int64, the old row that each new one comes from.
            is_new: (M,) bool, rows that start without moments; None for none.

        Raises:
            ValueError: lengths or SH degrees that do not fit.
        """
        if parents.shape != (len(gaussians),):
            raise ValueError(f"{len(gaussians)} Gaussians but {tuple(parents.shape)} parents")
        leaves = self._leaves(gaussians)
        columns = {name: p.shape[1:] for name, p in self._parameters.items()}
        if columns != {name: leaf.shape[1:] for name, leaf in leaves.items()}:
            raise ValueError("the SH degree cannot change under the optimizer")
        for name, fresh in leaves.items():
            self._exchange(name, fresh.requires_grad_(name in self._trained), parents, is_new)

    def keep(self, index: torch.Tensor) -> None:
        """Keep only these rows (int64 indices or a boolean mask), with their moments."""
        rows = torch.arange(len(self), device=index.device)[index]
        self.rebuild(self.gaussians.detach().select(rows), rows)

    def replace_values(self, name: str, values: torch.Tensor, *, reset_moments: bool) -> None:
        """Overwrite one group in place, for instance after an opacity reset.

        Raises:
            ValueError: an unknown group or another shape.
        """
        parameter = self._parameters.get(name)
        if parameter is None or parameter.shape != values.shape:
            raise ValueError(f"cannot put shape {tuple(values.shape)} into group {name!r}")
        with torch.no_grad():
            parameter.copy_(values)
        if reset_moments and self._adam is not None:
            for moment in _MOMENTS:
                if moment in self._adam.state.get(parameter, {}):
                    self._adam.state[parameter][moment].zero_()

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Everything but the learning rates as plain tensors, for a checkpoint.

        Keys are ``<group>`` and ``<group>.exp_avg``, ``<group>.exp_avg_sq``, ``<group>.step``.
        """
        state = {name: p.detach().clone() for name, p in self._parameters.items()}
        for name in self._trained:
            for key, value in self._state(name).items():
                state[f"{name}.{key}"] = value.clone()
        return state

    def load_state_tensors(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from `state_tensors`; the number of rows may differ from the present one.

        Raises:
            ValueError: groups that are missing; names them.
        """
        missing = [name for name in self._parameters if name not in state]
        if missing:
            raise ValueError(f"checkpoint lacks {', '.join(missing)}")
        device = self.gaussians.device
        for name in list(self._parameters):
            leaf = state[name].detach().clone().to(device).requires_grad_(name in self._trained)
            self._exchange(name, leaf, None, None)
            saved = {k: f"{name}.{k}" for k in (*_MOMENTS, "step") if f"{name}.{k}" in state}
            if name in self._trained and self._adam is not None and saved:
                self._adam.state[leaf] = {k: state[v].clone().to(device) for k, v in saved.items()}

    def _leaves(self, gaussians: Gaussians) -> dict[str, torch.Tensor]:
        tensors = gaussians.detach().tensors()
        if self._split_sh:
            sh = tensors.pop("sh")
            tensors["sh0"] = sh[:, :1]
            if sh.shape[1] > 1:
                tensors["shN"] = sh[:, 1:]
        return {name: t.clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}

    def _group(self, name: str) -> dict[str, Any]:
        for group in self._adam.param_groups if self._adam is not None else ():
            if group["name"] == name:
                return group
        raise ValueError(f"no trained group {name!r}; there are {', '.join(self._trained)}")

    def _state(self, name: str) -> dict[str, torch.Tensor]:
        return {} if self._adam is None else dict(self._adam.state.get(self._parameters[name], {}))

    def _exchange(
        self,
        name: str,
        fresh: torch.Tensor,
        parents: torch.Tensor | None,
        is_new: torch.Tensor | None,
    ) -> None:
        old, self._parameters[name] = self._parameters[name], fresh
        if name not in self._trained or self._adam is None:
            return
        self._group(name)["params"] = [fresh]
        state = self._adam.state.pop(old, None)
        if not state or parents is None:
            return
        for moment in _MOMENTS:
            rows = state[moment][parents]
            if is_new is not None:
                rows[is_new] = 0
            state[moment] = rows
        self._adam.state[fresh] = state


def exponential_decay(initial: float, final: float, max_steps: int) -> Callable[[int], float]:
    """Learning rate that falls log-linearly from `initial` at step 0 to `final` at `max_steps`.

    Source: spec `frame0.md`, section 3 (xyz); outside the range the nearer end holds.

    Raises:
        ValueError: rates or a length that are not positive.
    """
    if initial <= 0 or final <= 0 or max_steps <= 0:
        raise ValueError(f"rates and steps must be positive: {initial}, {final}, {max_steps}")
    start, end = math.log(initial), math.log(final)

    def rate(step: int) -> float:
        share = min(max(step / max_steps, 0.0), 1.0)
        return math.exp(start + (end - start) * share)

    return rate

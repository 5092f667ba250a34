"""What depends on the iteration alone."""

from __future__ import annotations

import pytest

from igs.cli.frame0 import PRESETS
from igs.config import ConfigError, load_config
from igs.config.frame0 import CoarseToFineConfig, Frame0Config, Frame0Density, check_frame0
from igs.config.frame0_run import Frame0RunConfig, check_frame0_run
from igs.config.resources import config_path
from igs.frame0.schedule import budget_at, cosine_share, factor_at, sh_degree_at, stretched


def test_a_stretched_schedule_keeps_its_shape() -> None:
    config = Frame0Config(iterations=1500, schedule_length=3000, sh_interval=600, decay_steps=3000)
    config.density = Frame0Density(start=300, until=2000, interval=100)
    half = stretched(config)
    assert (half.sh_interval, half.decay_steps) == (300, 1500)
    assert (half.density.start, half.density.until, half.density.interval) == (150, 1000, 100)
    assert config.density.until == 2000, "the config handed in must stay as it was"
    assert stretched(half) is half
    plain = Frame0Config(iterations=7)
    assert stretched(plain) is plain


def test_rates_fall_along_half_a_cosine() -> None:
    assert cosine_share(0, 100, 0.1) == pytest.approx(1.0)
    assert cosine_share(50, 100, 0.1) == pytest.approx(0.55)
    assert cosine_share(100, 100, 0.1) == pytest.approx(0.1)
    assert cosine_share(33, 100, 1.0) == pytest.approx(1.0)


def test_the_sh_degree_rises_to_its_end() -> None:
    config = Frame0Config(sh_interval=1000, sh_degree=3)
    degrees = [sh_degree_at(i, config) for i in (999, 1000, 2000, 3000, 9000)]
    assert degrees == [0, 1, 2, 3, 3]


def test_images_grow_to_full_size() -> None:
    stages = CoarseToFineConfig([4, 2], [0.2, 0.3])
    assert [factor_at(i, 100, stages) for i in (1, 20, 21, 50, 51, 100)] == [4, 4, 2, 2, 1, 1]
    assert factor_at(1, 100, CoarseToFineConfig()) == 1


def test_the_budget_rises_from_the_start_to_the_cap() -> None:
    density = Frame0Density(start=100, until=1100, growth="budget", max_num=5000)
    counts = [budget_at(i, 1000, density) for i in (100, 600, 1100, 9999)]
    assert counts == [1000, 4000, 5000, 5000]
    assert budget_at(600, 1000, Frame0Density(max_num=70)) == 70
    assert budget_at(600, 1000, Frame0Density()) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load_and_hold(preset: str) -> None:
    config = load_config(Frame0RunConfig, config_path(f"frame0_{preset}"))
    check_frame0_run(config)
    assert config.frame0.camera_color.enabled == (preset == "rig")
    # Known points leave untextured walls empty, which a rig's preset fills from the sweep.
    assert config.frame0.init.mode == ("sweep" if preset == "rig" else "auto")
    if preset == "igs":
        assert config.frame0.original_order
        assert config.frame0.density.min_z == 4.5


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["density.growth=wild"], "density.growth"),
        (["density.growth=budget"], "density.max_num"),
        (["coarse_to_fine.factors=[2]"], "coarse_to_fine"),
        (["coarse_to_fine.factors=[0.5]", "coarse_to_fine.shares=[0.5]"], "factors"),
        (["coarse_to_fine.factors=[4,2]", "coarse_to_fine.shares=[0.7,0.7]"], "shares"),
        (["depth_normal.weight=-1"], "depth_normal.weight"),
        (["validation.interval=0"], "validation.interval"),
        (["rates.final=2"], "rates.final"),
        (["schedule_length=0"], "schedule_length"),
    ],
)
def test_bad_values_are_named(words: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        check_frame0(load_config(Frame0Config, None, words))

"""Configs: YAML and words over typed defaults, and errors that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from igs.config import ConfigError, RunConfig, check_run, load_config, to_yaml
from igs.config.resources import config_names, config_path


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", config_names())
def test_every_packaged_config_is_valid(name: str) -> None:
    check_run(load_config(RunConfig, config_path(name), ["data.root=somewhere"]))


def test_packaged_configs_hold_the_published_settings() -> None:
    beef = load_config(RunConfig, config_path("eval_beef"))
    assert beef.refine.num_iterations() == 100
    assert beef.refine.densify.max_num == 150_000
    assert beef.views.inputs == [13, 1, 8, 4]
    assert beef.frame0.iteration == "6900_compress"
    trim = load_config(RunConfig, config_path("eval_trim"))
    assert trim.refine.densify.max_num == 40_000
    assert trim.views.inputs == [3, 10, 1, 4]
    assert trim.data.images == "images"
    assert not trim.free_view.enabled
    assert load_config(RunConfig, config_path("eval_demo")).data.num_frames == 50


def test_words_win_over_the_file_and_later_ones_over_earlier(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {root: here}\nrefine: {mode: l, lambda_l1: 0.5}\n")
    config = load_config(RunConfig, path, ["data.root=there", "seed=3", "seed=4"])
    assert (config.data.root, config.seed) == ("there", 4)
    assert (config.refine.mode, config.refine.lambda_l1) == ("l", 0.5)


@pytest.mark.parametrize(
    ("text", "motion", "refine"),
    [
        ("motion: none\nrefine: off\n", "none", "off"),
        ("motion: {mode: agm}\nrefine: {mode: off}\n", "agm", "off"),
        ("motion: null\nrefine: l\n", "none", "l"),
    ],
)
def test_a_section_may_be_given_by_its_mode(
    tmp_path: Path, text: str, motion: str, refine: str
) -> None:
    config = load_config(RunConfig, write(tmp_path, text))
    assert (config.motion.mode, config.refine.mode) == (motion, refine)


def test_a_mode_word_keeps_the_rest_of_its_section(tmp_path: Path) -> None:
    path = write(tmp_path, "refine: {mode: l, lambda_l1: 0.5}\n")
    config = load_config(RunConfig, path, ["refine=off"])
    assert (config.refine.mode, config.refine.lambda_l1) == ("off", 0.5)
    assert config.refine.num_iterations() == 0


def test_extends_reads_a_base_file(tmp_path: Path) -> None:
    write(tmp_path, "seed: 1\ndata: {root: base, scene: a}\n", "base.yaml")
    path = write(tmp_path, "extends: base.yaml\ndata: {scene: b}\n")
    config = load_config(RunConfig, path)
    assert (config.seed, config.data.root, config.data.scene) == (1, "base", "b")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("motoin=agm", "did you mean motion"),
        ("refine.densify.maxnum=3", "did you mean refine.densify.max_num"),
        ("refine.iterations=many", r"refine\.iterations.*many"),
        ("refine", "key=value"),
    ],
)
def test_bad_words_are_refused_by_name(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(RunConfig, None, [word])


def test_unknown_key_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "frame0: {iteratoins: 5}\n")
    with pytest.raises(ConfigError, match=r"run\.yaml.*frame0\.iteratoins.*frame0\.iterations"):
        load_config(RunConfig, path)


@pytest.mark.parametrize("text", ["a: [1\nb: }", "- 1\n- 2\n", "just words"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml") as caught:
        load_config(RunConfig, write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml.*no such file"):
        load_config(RunConfig, tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("schedule.interval=0", "schedule.interval"),
        ("motion.mode=fast", "motion.mode"),
        ("motion=agm", "motion.weights"),
        ("refine.mode=xl", "refine.mode"),
        ("refine.lambda_l1=1.5", "refine.lambda_l1"),
        ("data.kind=tapes", "data.kind"),
        ("data.kind=layout", "data.scene"),
        ("data.size=[640]", "data.size"),
        ("background=[0,0]", "background"),
        ("frame0.mode=load", "frame0.ply"),
        ("frame0.init.mode=points", "frame0.init.files"),
        ("free_view.path=zigzag", "free_view.path"),
    ],
)
def test_values_that_cannot_work_name_their_key(word: str, key: str) -> None:
    config = load_config(RunConfig, None, ["data.root=x", word])
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        check_run(config)


def test_the_resolved_config_reads_back(tmp_path: Path) -> None:
    config = load_config(RunConfig, config_path("demo"), ["refine.iterations=7"])
    path = write(tmp_path, to_yaml(config))
    assert load_config(RunConfig, path) == config

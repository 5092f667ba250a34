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


# These have schemas of their own and are tested with what they are for.
OWN_SCHEMAS = ("train", "evaluate", "build", "frame0_igs", "live")


@pytest.mark.parametrize("name", [n for n in config_names() if not n.startswith(OWN_SCHEMAS)])
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
        ("free_view.views=0", "free_view.views"),
        ("free_view.size=[0,4]", "free_view.size"),
        ("seed=-1", "seed"),
        ("threads=0", "threads"),
        ("output=''", "output"),
        ("background=[0,0,2]", "background"),
        ("refine.rates.sh=-0.1", "refine.rates.sh"),
        ("refine.rates.sh=.nan", "refine.rates.sh"),
        ("refine.active_threshold=-1", "refine.active_threshold"),
        ("refine.densify.max_num=0", "refine.densify.max_num"),
        ("refine.densify.min_opacity=2", "refine.densify.min_opacity"),
        ("frame0.sh_interval=0", "frame0.sh_interval"),
        ("frame0.decay_steps=0", "frame0.decay_steps"),
        ("frame0.filter_interval=0", "frame0.filter_interval"),
        ("frame0.rates.means=0", "frame0.rates.means"),
        ("frame0.density.interval=0", "frame0.density.interval"),
        ("frame0.density.opacity_reset_interval=0", "frame0.density.opacity_reset_interval"),
        ("frame0.init.max_points=0", "frame0.init.max_points"),
        ("data.prefetch=-1", "data.prefetch"),
        ("data.decode_threads=0", "data.decode_threads"),
        ("data.fps=0", "data.fps"),
        ("data.network_images=images_512", "data.network_images"),
    ],
)
def test_values_that_cannot_work_name_their_key(word: str, key: str) -> None:
    config = load_config(RunConfig, None, ["data.root=x", word])
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        check_run(config)


@pytest.mark.parametrize("word", ["data.size=[64,48]", "data.on_missing=drop"])
def test_settings_that_a_layout_cannot_follow_are_refused(word: str) -> None:
    words = ["data.root=x", "data.kind=layout", "data.scene=a", word]
    with pytest.raises(ConfigError, match=word.partition("=")[0].replace(".", r"\.")):
        check_run(load_config(RunConfig, None, words))


@pytest.mark.parametrize(
    ("name", "message"), [("gpu", "'gpu' must be cpu"), ("cuda:99", "'cuda:99' is asked for")]
)
def test_a_device_that_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"device: {message}"):
        check_run(load_config(RunConfig, None, ["data.root=x", f"device={name}"]))


def test_a_section_that_is_a_list_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"refine\.mode"):
        load_config(RunConfig, None, ["refine=[1,2]"])


def test_extends_finds_configs_that_come_with_igs(tmp_path: Path) -> None:
    path = write(tmp_path, "extends: frame0_rig.yaml\nframe0: {iterations: 7}\n")
    config = load_config(RunConfig, path)
    assert config.frame0.camera_color.enabled
    assert config.frame0.iterations == 7
    with pytest.raises(ConfigError, match=r"extends 'frame0_rigg.yaml': no file .*frame0_rig"):
        load_config(RunConfig, write(tmp_path, "extends: frame0_rigg.yaml\n"))


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\n", "a.yaml")
    with pytest.raises(ConfigError, match=r"a\.yaml: extends itself"):
        load_config(RunConfig, write(tmp_path, "extends: a.yaml\n", "b.yaml").parent / "a.yaml")


def test_the_resolved_config_reads_back(tmp_path: Path) -> None:
    config = load_config(RunConfig, config_path("demo"), ["refine.iterations=7"])
    path = write(tmp_path, to_yaml(config))
    assert load_config(RunConfig, path) == config

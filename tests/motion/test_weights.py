"""Names, files and refusals."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import pytest
import torch
from gmflow import WeightsError, save_weights

from igs.motion import AGMConfig, AGMNet, load_agm, save_agm
from igs.motion.names import released_names
from igs.motion.released import read_released_config
from igs.motion.weights import FLOW, to_released

RELEASED_YAML = """
size: 512
data: {views: 4, sh: 3}
system:
  sh_degree: ${data.sh}
  has_sh: ${gt0:${data.sh}}
  encoder: {cls: Some.Name, out_channels: 128, plane_size: 64, elsewhere: "${no.such.key}"}
  renderer:
    neighbor_size: 5
    local_ray: false
    lbs: false
    radius: 0.1
    in_channels: ${system.encoder.out_channels}
    feature_channels: {xyz: 3, rotation: 4}
  parts: [{grid_type: irgrid}, 3]
"""


def same(a: AGMNet, b: AGMNet) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


@pytest.fixture
def released_folder(tiny, tmp_path):
    """Laid out as the released checkpoint: weights in a numbered folder, config one up."""
    folder = tmp_path / "15"
    folder.mkdir()
    torch.save(to_released(tiny.state_dict(), tiny.config), folder / "pytorch_model.bin")
    save_weights(tmp_path / "flow.safetensors", tiny.flow)
    return folder


def test_table_covers_the_released_file():
    config = AGMConfig()
    table = released_names(config)
    own = {name for name in AGMNet(config).state_dict() if not name.startswith(FLOW)}
    assert set(table) == own
    assert len(table) == len(set(table.values())) == 92
    assert not set(table) & set(table.values())


def test_released_names_have_the_published_shapes():
    config = AGMConfig()
    shapes = {k: tuple(v.shape) for k, v in to_released(AGMNet().state_dict(), config).items()}
    block = "triplane_encoder.conv.transformer_blocks.3."
    published = {
        "transformer.layers.0.cross_attn_ffn.mlp.0.weight": (1024, 256),
        "triplane_encoder.conv.proj_in.weight": (512, 128),
        block + "attn1.to_out.0.bias": (512,),
        block + "ff.net.0.proj.weight": (4096, 512),
        block + "ff.net.2.weight": (512, 2048),
        "render.mlp_net.layers.4.bias": (128,),
        "render.out_layers.0.weight": (3, 128),
        "render.out_layers.1.bias": (4,),
        "ModLN.mlp.0.weight": (128, 33),
        "ModLN.mlp.2.bias": (256,),
        "upsample.weight": (128, 128, 3, 3),
    }
    assert {name: shapes[name] for name in published} == published


def test_own_file_is_all_that_is_needed(tiny, tmp_path, caplog):
    path = tmp_path / "agm.safetensors"
    save_agm(path, tiny)
    with caplog.at_level(logging.INFO):
        loaded = load_agm(path)
    assert same(loaded, tiny)
    assert loaded.config == tiny.config
    assert not loaded.training
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caplog.text


def test_half_precision_file_loads_as_float32(tiny, tmp_path):
    save_agm(tmp_path / "half.safetensors", tiny, dtype=torch.float16)
    save_agm(tmp_path / "full.safetensors", tiny)
    half, full = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("half", "full"))
    assert half < 0.6 * full
    loaded = load_agm(tmp_path / "half.safetensors")
    for name, value in tiny.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], value.half().float()), name


def test_flow_features_from_their_own_file(tiny, tmp_path):
    save_agm(tmp_path / "agm.safetensors", tiny, include_flow=False)
    save_weights(tmp_path / "flow.safetensors", tiny.flow)
    assert same(load_agm(tmp_path / "agm.safetensors", tmp_path / "flow.safetensors"), tiny)
    assert same(load_agm(tmp_path / "agm.safetensors", tiny.flow), tiny)
    with pytest.raises(WeightsError, match=r"agm\.safetensors holds no flow features.*GMFlow"):
        load_agm(tmp_path / "agm.safetensors")


def test_other_flow_features_replace_those_in_the_file(make_tiny, tiny, tmp_path):
    save_agm(tmp_path / "agm.safetensors", tiny)
    torch.manual_seed(99)
    other = AGMNet(tiny.config).flow
    loaded = load_agm(tmp_path / "agm.safetensors", other)
    assert torch.equal(loaded.flow.encoder.stem.weight, other.encoder.stem.weight)
    assert torch.equal(loaded.decoder.rotation.weight, tiny.decoder.rotation.weight)


def test_released_layout_loads(released_folder, tiny, make_tiny, monkeypatch):
    """At test size: the released config is exchanged for one with the sizes of the file."""
    config = replace(tiny.config, double_normalise=True)
    monkeypatch.setattr(AGMConfig, "released", classmethod(lambda cls: config))
    flow = released_folder.parent / "flow.safetensors"
    (released_folder.parent / "experiment_config.yaml").write_text(RELEASED_YAML)
    loaded = load_agm(released_folder / "pytorch_model.bin", flow)
    assert same(loaded, tiny)
    assert loaded.config == replace(config, neighbours=5)
    (released_folder.parent / "experiment_config.yaml").unlink()
    assert load_agm(released_folder / "pytorch_model.bin", flow).config == config


def test_misfits_are_listed_and_refused(released_folder, tiny):
    path = released_folder / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    state["ModLN.norm.bias"] = torch.zeros(7)
    state["backbone.extra"] = torch.zeros(7)
    del state["upsample.bias"]
    torch.save(state, path)
    with pytest.raises(WeightsError) as error:
        load_agm(path, tiny.flow, tiny.config)
    for part in (
        "pytorch_model.bin",
        "1 missing: maps.upsample.bias",
        "1 unexpected: backbone.extra",
        "condition.norm.bias is (7,) float32, must be (64,) float32",
    ):
        assert part in str(error.value)


def test_flow_features_of_another_size_are_refused(tiny, tmp_path):
    save_agm(tmp_path / "agm.safetensors", tiny, include_flow=False)
    wide = AGMNet(replace(tiny.config, flow=replace(tiny.config.flow, widths=(32, 48, 72))))
    save_weights(tmp_path / "flow.safetensors", wide.flow)
    with pytest.raises(WeightsError, match=r"flow\.safetensors does not fit"):
        load_agm(tmp_path / "agm.safetensors", tmp_path / "flow.safetensors")


def test_released_config_keeps_what_has_an_effect(tmp_path):
    path = tmp_path / "experiment_config.yaml"
    path.write_text(RELEASED_YAML)
    assert read_released_config(path) == replace(AGMConfig.released(), neighbours=5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("local_ray: false", "local_ray: true", "local_ray is True; only False is supported"),
        ("grid_type: irgrid", "grid_type: triplane", "grid_type is 'triplane'; only 'irgrid'"),
        ("xyz: 3, rotation: 4", "rotation: 4, xyz: 3", "feature_channels"),
        ("neighbor_size: 5", "neighbor_size: many", "neighbor_size is 'many'"),
        ("neighbor_size: 5", "neighbor_size: ${no.such}", "neighbor_size cannot be resolved"),
        ("system:", "model:", "no `system` part"),
        ("system:", "system: [", "not a readable configuration"),
    ],
)
def test_released_configs_of_other_networks_are_refused(tmp_path, old, new, message):
    path = tmp_path / "experiment_config.yaml"
    path.write_text(RELEASED_YAML.replace(old, new))
    with pytest.raises(ValueError, match=rf"experiment_config\.yaml.*{message}") as error:
        read_released_config(path)
    assert "\n" not in str(error.value)

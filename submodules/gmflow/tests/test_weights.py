"""Names, files and refusals."""

from __future__ import annotations

import pytest
import torch
from gmflow import (
    GMFlow,
    GMFlowConfig,
    WeightsError,
    from_public,
    load_extractor,
    load_gmflow,
    public_names,
    save_weights,
    to_public,
    write_tensors,
)
from gmflow.names import extractor_names
from torch.testing import assert_close

SMALL = GMFlowConfig.small()


@pytest.fixture
def network() -> GMFlow:
    torch.manual_seed(1)
    return GMFlow(SMALL).eval()


@pytest.fixture
def public(network) -> dict[str, torch.Tensor]:
    return to_public(network.state_dict(), SMALL)


def same(a, b) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_table_covers_the_public_checkpoint():
    config = GMFlowConfig()
    table = public_names(config)
    assert len(table) == len(set(table.values())) == 123
    assert len(extractor_names(config)) == 115
    assert set(table) == set(GMFlow(config).state_dict())
    assert not set(table) & set(table.values())


def test_public_names_have_the_published_shapes():
    config = GMFlowConfig()
    shapes = {k: tuple(v.shape) for k, v in to_public(GMFlow().state_dict(), config).items()}
    published = {
        "backbone.conv1.weight": (64, 3, 7, 7),
        "backbone.layer1.1.conv2.weight": (64, 64, 3, 3),
        "backbone.layer2.0.downsample.0.weight": (96, 64, 1, 1),
        "backbone.layer2.0.downsample.0.bias": (96,),
        "backbone.layer3.0.conv1.weight": (128, 96, 3, 3),
        "backbone.conv2.bias": (128,),
        "transformer.layers.5.self_attn.merge.weight": (128, 128),
        "transformer.layers.0.cross_attn_ffn.mlp.0.weight": (1024, 256),
        "transformer.layers.3.cross_attn_ffn.mlp.2.weight": (128, 1024),
        "transformer.layers.3.cross_attn_ffn.norm2.bias": (128,),
        "feature_flow_attn.k_proj.bias": (128,),
        "upsampler.0.weight": (256, 130, 3, 3),
        "upsampler.2.weight": (576, 256, 1, 1),
    }
    assert {name: shapes[name] for name in published} == published


@pytest.mark.parametrize("name", ["flow.safetensors", "half.safetensors"])
def test_own_files_round_trip_with_their_config(network, tmp_path, name):
    half = name.startswith("half")
    save_weights(tmp_path / name, network, torch.float16 if half else None)
    loaded = load_gmflow(tmp_path / name)
    assert loaded.config == SMALL
    assert not loaded.training
    if not half:
        assert same(network, loaded)
    for name_, value in network.state_dict().items():
        assert loaded.state_dict()[name_].dtype == torch.float32
        assert_close(loaded.state_dict()[name_], value, atol=1e-3, rtol=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("wrapped", [True, False])
def test_public_pickles_load(network, public, tmp_path, wrapped):
    path = tmp_path / "public.pth"
    torch.save({"model": public} if wrapped else public, path)
    assert same(load_gmflow(path, SMALL), network)


def test_public_safetensors_load(network, public, tmp_path):
    write_tensors(tmp_path / "public.safetensors", public)
    assert same(load_gmflow(tmp_path / "public.safetensors", SMALL), network)


def test_extractor_leaves_matching_aside(network, public, tmp_path):
    torch.save({"model": public}, tmp_path / "public.pth")
    extractor = load_extractor(tmp_path / "public.pth", SMALL)
    assert set(extractor.state_dict()) == set(extractor_names(SMALL))
    save_weights(tmp_path / "extractor.safetensors", extractor)
    assert same(load_extractor(tmp_path / "extractor.safetensors"), extractor)
    with pytest.raises(WeightsError, match=r"8 missing: propagation\.query\.weight"):
        load_gmflow(tmp_path / "extractor.safetensors")


def test_misfits_are_listed_and_refused(network, public, tmp_path):
    path = tmp_path / "bad.pth"
    public["backbone.conv1.weight"] = torch.zeros(3, 3)
    public["extra.tensor"] = torch.zeros(1)
    del public["upsampler.2.bias"]
    torch.save(public, path)
    with pytest.raises(WeightsError) as error:
        load_gmflow(path, SMALL)
    text = str(error.value)
    assert "\n" not in text
    for part in (
        str(path),
        "1 missing: upsampler.weights.bias",
        "1 unexpected: extra.tensor",
        "1 misshapen: encoder.stem.weight is (3, 3) float32, must be (32, 3, 7, 7) float32",
    ):
        assert part in text


def test_whole_numbers_are_no_weights(network, public, tmp_path):
    public["backbone.conv2.bias"] = public["backbone.conv2.bias"].long()
    torch.save(public, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"encoder\.project\.bias is \(64,\) int64"):
        load_gmflow(tmp_path / "bad.pth", SMALL)


def test_another_size_is_refused_with_a_short_list(network, tmp_path):
    save_weights(tmp_path / "small.safetensors", network)
    with pytest.raises(WeightsError, match=r"misshapen: .* and \d+ more$"):
        load_gmflow(tmp_path / "small.safetensors", GMFlowConfig())


def test_code_in_a_pickle_is_not_run(tmp_path):
    class Intruder:
        def __reduce__(self):
            return (open, (str(tmp_path / "intruded"), "w"))

    torch.save({"model": Intruder()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth.*weights_only"):
        load_gmflow(tmp_path / "evil.pth")
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_damaged_files_are_named(network, tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(network.state_dict(), path)
    else:
        save_weights(path, network)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=path.name):
        load_gmflow(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_gmflow(tmp_path / f"nowhere.{suffix}")


def test_other_contents_are_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="epoch"):
        load_gmflow(tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds list"):
        load_gmflow(tmp_path / "list.pth")
    write_tensors(tmp_path / "c.safetensors", {"a": torch.ones(1)}, {"gmflow_config": "{nonsense"})
    with pytest.raises(WeightsError, match="unreadable network config"):
        load_gmflow(tmp_path / "c.safetensors")


def test_weights_are_saved_as_safetensors_only(network, tmp_path):
    with pytest.raises(ValueError, match="safetensors"):
        save_weights(tmp_path / "weights.pth", network)


def test_tables_invert_each_other(network):
    state = network.state_dict()
    assert set(from_public(to_public(state, SMALL), SMALL)) == set(state)

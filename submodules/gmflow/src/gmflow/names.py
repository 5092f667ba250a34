"""Our tensor names beside those of the public checkpoint, one row each.

Every table maps our name to the public one. Blocks of one kind share a table, so that it serves
networks of any depth; `public_names` spells it out for one config.
"""

from __future__ import annotations

from gmflow.config import GMFlowConfig

ENCODER_ENDS = {
    "encoder.stem.weight": "backbone.conv1.weight",
    "encoder.project.weight": "backbone.conv2.weight",
    "encoder.project.bias": "backbone.conv2.bias",
}

RESIDUAL_BLOCK = {
    "first.weight": "conv1.weight",
    "second.weight": "conv2.weight",
}

SHORTCUT = {
    "shortcut.weight": "downsample.0.weight",
    "shortcut.bias": "downsample.0.bias",
}

TRANSFORMER_BLOCK = {
    "self_attention.query.weight": "self_attn.q_proj.weight",
    "self_attention.key.weight": "self_attn.k_proj.weight",
    "self_attention.value.weight": "self_attn.v_proj.weight",
    "self_attention.merge.weight": "self_attn.merge.weight",
    "self_attention.message_norm.weight": "self_attn.norm1.weight",
    "self_attention.message_norm.bias": "self_attn.norm1.bias",
    "cross_attention.query.weight": "cross_attn_ffn.q_proj.weight",
    "cross_attention.key.weight": "cross_attn_ffn.k_proj.weight",
    "cross_attention.value.weight": "cross_attn_ffn.v_proj.weight",
    "cross_attention.merge.weight": "cross_attn_ffn.merge.weight",
    "cross_attention.message_norm.weight": "cross_attn_ffn.norm1.weight",
    "cross_attention.message_norm.bias": "cross_attn_ffn.norm1.bias",
    "cross_attention.feed_forward.expand.weight": "cross_attn_ffn.mlp.0.weight",
    "cross_attention.feed_forward.contract.weight": "cross_attn_ffn.mlp.2.weight",
    "cross_attention.feed_forward.norm.weight": "cross_attn_ffn.norm2.weight",
    "cross_attention.feed_forward.norm.bias": "cross_attn_ffn.norm2.bias",
}

MATCHING = {
    "propagation.query.weight": "feature_flow_attn.q_proj.weight",
    "propagation.query.bias": "feature_flow_attn.q_proj.bias",
    "propagation.key.weight": "feature_flow_attn.k_proj.weight",
    "propagation.key.bias": "feature_flow_attn.k_proj.bias",
    "upsampler.hidden.weight": "upsampler.0.weight",
    "upsampler.hidden.bias": "upsampler.0.bias",
    "upsampler.weights.weight": "upsampler.2.weight",
    "upsampler.weights.bias": "upsampler.2.bias",
}


def prefixed(table: dict[str, str], ours: str, public: str) -> dict[str, str]:
    """A table with one prefix for our names and one for the public names."""
    return {ours + name: public + other for name, other in table.items()}


def extractor_names(config: GMFlowConfig) -> dict[str, str]:
    """Our name to public name for encoder and transformer (115 rows for the defaults)."""
    table = dict(ENCODER_ENDS)
    inputs = config.widths[0]
    for stage, width in enumerate(config.widths):
        for block in range(2):
            ends = (f"encoder.stages.{stage}.{block}.", f"backbone.layer{stage + 1}.{block}.")
            table |= prefixed(RESIDUAL_BLOCK, *ends)
            if block == 0 and (stage > 0 or width != inputs):
                table |= prefixed(SHORTCUT, *ends)
        inputs = width
    for block in range(config.blocks):
        ends = (f"transformer.blocks.{block}.", f"transformer.layers.{block}.")
        table |= prefixed(TRANSFORMER_BLOCK, *ends)
    return table


def public_names(config: GMFlowConfig) -> dict[str, str]:
    """Our name to public name for the whole network (123 rows for the defaults)."""
    return extractor_names(config) | MATCHING

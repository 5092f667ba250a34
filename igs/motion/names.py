"""Our tensor names beside those of the released AGM-Net weights, one row each.

Source: spec `agm_net.md`, section 13. The flow features are not among them.
"""

from __future__ import annotations

from gmflow.names import TRANSFORMER_BLOCK, prefixed

from igs.motion.config import AGMConfig

OUTER = {
    "maps.upsample.weight": "upsample.weight",
    "maps.upsample.bias": "upsample.bias",
    "condition.norm.weight": "ModLN.norm.weight",
    "condition.norm.bias": "ModLN.norm.bias",
    "condition.hidden.weight": "ModLN.mlp.0.weight",
    "condition.hidden.bias": "ModLN.mlp.0.bias",
    "condition.output.weight": "ModLN.mlp.2.weight",
    "condition.output.bias": "ModLN.mlp.2.bias",
    "transformer.norm.weight": "triplane_encoder.conv.norm.weight",
    "transformer.norm.bias": "triplane_encoder.conv.norm.bias",
    "transformer.project_in.weight": "triplane_encoder.conv.proj_in.weight",
    "transformer.project_in.bias": "triplane_encoder.conv.proj_in.bias",
    "transformer.project_out.weight": "triplane_encoder.conv.proj_out.weight",
    "transformer.project_out.bias": "triplane_encoder.conv.proj_out.bias",
    "decoder.layers.0.weight": "render.mlp_net.layers.0.weight",
    "decoder.layers.0.bias": "render.mlp_net.layers.0.bias",
    "decoder.layers.1.weight": "render.mlp_net.layers.2.weight",
    "decoder.layers.1.bias": "render.mlp_net.layers.2.bias",
    "decoder.layers.2.weight": "render.mlp_net.layers.4.weight",
    "decoder.layers.2.bias": "render.mlp_net.layers.4.bias",
    "decoder.translation.weight": "render.out_layers.0.weight",
    "decoder.translation.bias": "render.out_layers.0.bias",
    "decoder.rotation.weight": "render.out_layers.1.weight",
    "decoder.rotation.bias": "render.out_layers.1.bias",
}

ANCHOR_BLOCK = {
    "attention_norm.weight": "norm1.weight",
    "attention_norm.bias": "norm1.bias",
    "attention.query.weight": "attn1.to_q.weight",
    "attention.key.weight": "attn1.to_k.weight",
    "attention.value.weight": "attn1.to_v.weight",
    "attention.output.weight": "attn1.to_out.0.weight",
    "attention.output.bias": "attn1.to_out.0.bias",
    "feed_forward_norm.weight": "norm3.weight",
    "feed_forward_norm.bias": "norm3.bias",
    "feed_forward.project.weight": "ff.net.0.proj.weight",
    "feed_forward.project.bias": "ff.net.0.proj.bias",
    "feed_forward.output.weight": "ff.net.2.weight",
    "feed_forward.output.bias": "ff.net.2.bias",
}


def released_names(config: AGMConfig) -> dict[str, str]:
    """Our name to released name (92 rows for the published depth)."""
    table = dict(OUTER)
    table |= prefixed(TRANSFORMER_BLOCK, "maps.block.", "transformer.layers.0.")
    for block in range(config.blocks):
        released = f"triplane_encoder.conv.transformer_blocks.{block}."
        table |= prefixed(ANCHOR_BLOCK, f"transformer.blocks.{block}.", released)
    return table

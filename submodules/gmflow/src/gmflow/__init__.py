"""GMFlow: optical flow by global matching, and its pair features for other networks."""

from gmflow.checkpoint import WeightsError, load_strictly, read_tensors, write_tensors
from gmflow.colour import flow_to_rgb
from gmflow.config import GMFlowConfig
from gmflow.flo import read_flo, write_flo
from gmflow.matching import global_matching
from gmflow.names import public_names
from gmflow.network import FeatureExtractor, GMFlow
from gmflow.transformer import TransformerBlock
from gmflow.weights import from_public, load_extractor, load_gmflow, save_weights, to_public

__all__ = [
    "FeatureExtractor",
    "GMFlow",
    "GMFlowConfig",
    "TransformerBlock",
    "WeightsError",
    "flow_to_rgb",
    "from_public",
    "global_matching",
    "load_extractor",
    "load_gmflow",
    "load_strictly",
    "public_names",
    "read_flo",
    "read_tensors",
    "save_weights",
    "to_public",
    "write_flo",
    "write_tensors",
]

"""Every setting of a streaming run, with its type and its default: the one home of both.

Source of the defaults: spec `streaming.md`, sections 5 and 8, and `frame0.md`, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from igs.config.frame0 import Frame0Config
from igs.config.gpu import GpuConfig

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045

REFINE_ITERATIONS = {"s": 50, "l": 100}
PRECISIONS = ("auto", "float32", "bf16", "fp16")
FREE_VIEW_PATHS = ("spiral", "tour", "orbit", "legacy_spiral")


@dataclass
class DataConfig:
    """Where frames and cameras come from.

    kind `videos`: a folder with one video per camera and a camera file. kind `layout`: the
    dataset layout of spec `streaming.md`, section 2.1.
    """

    kind: str = "videos"
    root: str = ""
    scene: str = ""
    cameras: Optional[str] = None  # relative to root; videos: cameras.json
    videos: str = "videos"
    images: str = "images_r2"
    network_images: Optional[str] = None  # layout only; None: made from the working images
    size: Optional[list[int]] = None  # videos only: width, height to work at; None: as stored
    fps: float = 30.0  # layout only: image folders carry no time stamps
    num_frames: Optional[int] = None
    pairs: Optional[str] = None  # pair file relative to root, checked against `schedule`
    on_missing: str = "error"  # or drop (videos only): leave out steps that a camera lacks
    undistort: bool = False
    prefetch: int = 2
    loops: int = 1  # play forth and back this many times; for soak tests
    decode_threads: int = 1


@dataclass
class ViewsConfig:
    """Roles of the cameras, by name or by position in the camera file.

    held_out: never optimised, only measured; None takes the camera file's own split, and holds out
    the first camera of a list of the 3DGS family without one. inputs: views of the motion network;
    empty lets the program choose. exclude: not read at all.
    """

    held_out: Optional[list[Any]] = None
    inputs: list[Any] = field(default_factory=list)
    exclude: list[Any] = field(default_factory=list)


@dataclass
class ScheduleConfig:
    """Every `interval`-th frame is a key frame. refine_last: refine the end of a cut-off group."""

    interval: int = 5
    refine_last: bool = True


@dataclass
class BoxConfig:
    """The region that may move: two corners in world units, or an entry of a bbox.json."""

    bounds: Optional[list[list[float]]] = None
    file: Optional[str] = None  # relative to data.root
    scene: Optional[str] = None  # entry of the file; None: data.scene


@dataclass
class MotionSettings:
    """What carries a key frame's Gaussians to the next frames.

    mode `none` holds them still, `agm` predicts with AGM-Net (spec `agm_net.md`).
    """

    mode: str = "none"
    weights: Optional[str] = None
    flow_weights: Optional[str] = None
    anchors: Optional[int] = None  # None: as the weights were trained
    antialias: bool = True  # of the network's input images; False as released
    precision: str = "auto"  # of flow and network: auto, float32, bf16 or fp16; geometry is float32


@dataclass
class DensifyConfig:
    """Adaptive density control during key-frame refinement (spec `streaming.md`, section 5)."""

    enabled: bool = True
    interval: int = 20
    until: int = 100
    grad_threshold: float = 0.00015
    min_opacity: float = 0.005
    percent_dense: float = 0.01  # 0 splits every candidate, as the original did
    max_num: Optional[int] = 150_000  # None: no cap (the ablation "no points bounded")


@dataclass
class RefineRates:
    """Learning rates of key-frame refinement, constant over its iterations."""

    means: float = 0.0016
    sh: float = 0.0025
    opacity_logits: float = 0.05
    log_scales: float = 0.005
    quats: float = 0.01


@dataclass
class RefineConfig:
    """Key-frame refinement. mode: s (50 iterations), l (100), off; `iterations` overrides both.

    lr_final: learning rates fall to this share along a half cosine; 1 keeps them constant.
    active_only: optimise only Gaussians seen where pixels changed since the last key frame, and let
    a predicted motion carry only these into a key frame, so that what stands still cannot drift;
    `active_threshold` is the change, in 0..1, that counts.
    active_tiles: with active_only, draw and compare only tiles of 16 x 16 pixels that changed, and
    their neighbours: faster, and a little less exact.
    """

    mode: str = "s"
    iterations: Optional[int] = None
    lambda_l1: float = 0.8
    rates: RefineRates = field(default_factory=RefineRates)
    lr_final: float = 1.0
    densify: DensifyConfig = field(default_factory=DensifyConfig)
    active_only: bool = False
    active_threshold: float = 0.06
    active_tiles: bool = False

    def num_iterations(self) -> int:
        """Iterations per key frame; 0 when refinement is off."""
        if self.mode == "off":
            return 0
        return self.iterations if self.iterations is not None else REFINE_ITERATIONS[self.mode]


@dataclass
class FreeViewConfig:
    """The free-viewpoint video: a camera path, rendered as the stream goes by."""

    enabled: bool = True
    path: str = "spiral"  # one of FREE_VIEW_PATHS
    views: Optional[int] = None  # period of the path in frames; None: the stream's length
    turns: float = 2.0  # spiral only
    scale: float = 1.0  # spiral only: size relative to the rig's spread
    size: Optional[list[int]] = None  # None: the working size of the first camera


@dataclass
class OutputConfig:
    """What is written beside results.json."""

    every_ply: bool = False  # a whole PLY for every frame, not only for key frames
    gaussians: bool = True
    eval_images: bool = True
    videos: bool = True
    state: bool = True  # what `--resume` needs


@dataclass
class StreamConfig:
    """What the engine itself needs."""

    seed: int = 0
    threads: Optional[int] = None
    device: str = "cpu"
    background: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    views: ViewsConfig = field(default_factory=ViewsConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    box: BoxConfig = field(default_factory=BoxConfig)
    motion: MotionSettings = field(default_factory=MotionSettings)
    refine: RefineConfig = field(default_factory=RefineConfig)
    gpu: GpuConfig = field(default_factory=GpuConfig)


@dataclass
class RunConfig(StreamConfig):
    """A whole run of `infer_batch.py` or `igs stream`."""

    output: str = "outputs/run"
    data: DataConfig = field(default_factory=DataConfig)
    frame0: Frame0Config = field(default_factory=Frame0Config)
    free_view: FreeViewConfig = field(default_factory=FreeViewConfig)
    write: OutputConfig = field(default_factory=OutputConfig)

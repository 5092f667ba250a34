"""The stream's header, JSON in the first chunk; docs/fvv.md, section 3."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from igs.fvv.chunks import HEAD, REFINEMENT, Chunk, make_chunk
from igs.fvv.errors import FvvError
from igs.fvv.rows import MAX_DEGREE, MOST_REFINED, Grid
from igs.scene import Camera


@dataclass(frozen=True)
class StreamHeader:
    """What holds for the whole stream.

    Attributes:
        grid: meaning of the integers.
        sh_degree: 0..3; the stream has `sh_degree + 1` layers.
        time_base: (numerator, denominator) seconds a tick.
        bounds: lowest and highest corner around the Gaussians of the first frame, world units.
        cameras: of the rig, for views and pictures in the picture.
        error_bounds: largest error of each attribute, as the encoder promises; see `encoder`.
        background: RGB 0..1.
        refine: steps of the refinement layer in one of the grid; 1 if there is no such layer.
        refined_error_bounds: largest errors where that layer is there; empty without it.
        extra: anything else that JSON can hold; readers ignore what they do not know.
    """

    grid: Grid
    sh_degree: int
    time_base: tuple[int, int] = (1, 90_000)
    bounds: tuple[tuple[float, ...], tuple[float, ...]] = ((0, 0, 0), (0, 0, 0))
    cameras: tuple[Camera, ...] = ()
    error_bounds: dict[str, float] = field(default_factory=dict)
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    refine: int = 1
    refined_error_bounds: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the stream's layers, the base first."""
        return (*range(self.sh_degree + 1), *((REFINEMENT,) if self.refine > 1 else ()))

    def to_json(self) -> dict[str, Any]:
        """As written."""
        refine = {"factor": self.refine, "error_bounds": self.refined_error_bounds}
        return {
            "sh_degree": self.sh_degree,
            "time_base": list(self.time_base),
            "grid": {
                k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.grid).items()
            },
            "bounds": [list(corner) for corner in self.bounds],
            "background": list(self.background),
            "error_bounds": self.error_bounds,
            "cameras": [_camera_json(camera) for camera in self.cameras],
            **({"refine": refine} if self.refine > 1 else {}),
            "extra": self.extra,
        }

    def to_chunk(self) -> Chunk:
        """The first chunk."""
        text = json.dumps(self.to_json(), separators=(",", ":"), allow_nan=False)
        return make_chunk(text.encode("utf-8"), kind=HEAD)

    @classmethod
    def from_chunk(cls, chunk: Chunk) -> StreamHeader:
        """Read it.

        Raises:
            FvvError: another kind of chunk, a damaged one, or values that cannot be used.
        """
        if chunk.header.kind != HEAD:
            raise FvvError("the first chunk is not a header")
        data = chunk.open()
        try:
            return cls._from_json(json.loads(data.decode("utf-8")))
        except FvvError:
            raise
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError,
                OverflowError) as error:  # fmt: skip
            raise FvvError(f"header: cannot be used ({type(error).__name__}: {error})") from error

    @classmethod
    def _from_json(cls, value: dict[str, Any]) -> StreamHeader:
        degree = _whole(value["sh_degree"], "sh_degree")
        if not 0 <= degree <= MAX_DEGREE:
            raise FvvError(f"header: SH degree {degree}, must be 0 to {MAX_DEGREE}")
        numerator, denominator = (_whole(v, "time_base") for v in value["time_base"])
        if not (1 <= numerator < 1 << 31 and 1 <= denominator < 1 << 31):
            raise FvvError("header: the time base must be within 1..2147483647")
        return cls(
            grid=_grid(value["grid"]),
            sh_degree=degree,
            time_base=(numerator, denominator),
            bounds=(_triple(value["bounds"][0]), _triple(value["bounds"][1])),
            cameras=tuple(_camera(entry) for entry in value.get("cameras", [])),
            error_bounds=_bounds(value.get("error_bounds", {})),
            background=_triple(value.get("background", (0, 0, 0))),
            refine=_refine(value.get("refine")),
            refined_error_bounds=_bounds((value.get("refine") or {}).get("error_bounds", {})),
            extra=dict(value.get("extra", {})),
        )


def _grid(value: dict[str, Any]) -> Grid:
    return Grid(
        origin=_triple(value["origin"]),
        position=float(value["position"]),
        quat=_whole(value["quat"], "grid.quat"),
        log_scale=float(value["log_scale"]),
        opacity=_whole(value["opacity"], "grid.opacity"),
        color=float(value["color"]),
        sh=_triple(value["sh"]),
    )


def _refine(value: Any) -> int:
    if value is None:
        return 1
    factor = _whole(value["factor"], "refine.factor")
    if not 2 <= factor <= MOST_REFINED:
        raise FvvError(f"header: refine.factor {factor}, must be 2 to {MOST_REFINED}")
    return factor


def _bounds(value: dict[str, Any]) -> dict[str, float]:
    return {str(k): float(v) for k, v in value.items()}


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FvvError(f"header: {name} must be a whole number")
    return value


def _triple(value: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in value)
    return x, y, z


def _camera_json(camera: Camera) -> dict[str, Any]:
    sizes = ("name", "width", "height", "fx", "fy", "cx", "cy")
    values = {key: getattr(camera, key) for key in sizes}
    return {**values, "world_to_camera": camera.world_to_camera.tolist()}


def _camera(value: dict[str, Any]) -> Camera:
    numbers = {key: float(value[key]) for key in ("fx", "fy", "cx", "cy")}
    return Camera(
        str(value["name"]),
        _whole(value["width"], "camera width"),
        _whole(value["height"], "camera height"),
        **numbers,
        world_to_camera=value["world_to_camera"],
    )

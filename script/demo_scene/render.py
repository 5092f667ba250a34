"""Rendering with Mitsuba 3: one image per camera and frame, kept in a scratch folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from .artwork import paint
from .cameras import Camera
from .geometry import Array, Mesh
from .stage import Material, by_material, material, moving, still

INSTALL_HINT = (
    "make_demo_scene needs Mitsuba 3 and LLVM 16 or newer: `pip install 'mitsuba>=3.5'`, then "
    "`apt-get install libllvm19` (`brew install llvm` on macOS), or set DRJIT_LIBLLVM_PATH to "
    "the LLVM shared library"
)
SEED = 20
EXPOSURE = 1.15
PATH_LENGTH = 3  # camera to light over at most two surfaces


class RendererMissingError(RuntimeError):
    """Mitsuba or LLVM is not there; the message says what to install."""


def load_mitsuba(threads: int) -> Any:
    """Import Mitsuba with its LLVM variant.

    Raises:
        RendererMissingError: if Mitsuba or a usable LLVM library is missing.
    """
    try:
        import drjit  # pyright: ignore[reportMissingImports]
        import mitsuba  # pyright: ignore[reportMissingImports]

        mitsuba.set_variant("llvm_ad_rgb")
        drjit.set_thread_count(threads)
        drjit.eval(drjit.arange(mitsuba.Float, 4))
    except (ImportError, RuntimeError) as error:
        raise RendererMissingError(f"{INSTALL_HINT} ({error})") from error
    return mitsuba


class Renderer:
    """Draws the scene at a given time, as seen by a camera."""

    def __init__(self, mi: Any, spp: int) -> None:
        self.mi = mi
        self.spp = spp
        self._materials: dict[str, Any] = {}
        self._still = {f"still_{n}": self._shape(n, m) for n, m in by_material(still()).items()}
        self._integrator = mi.load_dict({"type": "path", "max_depth": PATH_LENGTH, "rr_depth": 10})
        self.scene: Any = None
        self._lights = {k: mi.load_dict(v) for k, v in lights(mi).items()}

    def set_time(self, time: float) -> None:
        """Place figure, ball and cloth as they are at ``time`` seconds."""
        parts = by_material(moving(time))
        shapes = {f"moving_{n}": self._shape(n, m) for n, m in parts.items()}
        self.scene = self.mi.load_dict({"type": "scene", **self._still, **shapes, **self._lights})

    def render(self, camera: Camera, seed: int) -> Array:
        """Linear radiance (height, width, 3)."""
        image = self.mi.render(
            self.scene,
            sensor=sensor(self.mi, camera, self.spp),
            integrator=self._integrator,
            spp=self.spp,
            seed=seed,
        )
        return np.array(image, dtype=np.float64)[..., :3]

    def _shape(self, name: str, mesh: Mesh) -> Any:
        if name not in self._materials:
            self._materials[name] = self.mi.load_dict(bsdf(self.mi, name, material(name)))
        return mesh_to_mitsuba(self.mi, name, mesh, self._materials[name])


def lights(mi: Any) -> dict[str, Any]:
    """Two large soft lamps above the view and a dim sky; nothing casts a hard shadow.

    The sampling weights follow how much each adds to the noise; they do not change the light.
    """
    lamps = {
        "key": ([1.5, -2.9, -1.6], [0.0, -0.6, 0.6], 0.85, [9.5, 9.0, 8.2], 4.0),
        "fill": ([-2.1, -2.8, -1.0], [0.0, -0.6, 0.8], 0.7, [4.6, 5.0, 5.8], 2.0),
    }
    made: dict[str, Any] = {}
    for name, (origin, target, half, radiance, weight) in lamps.items():
        place = mi.ScalarTransform4f().look_at(origin=origin, target=target, up=[0, 0, 1])
        made[name] = {
            "type": "rectangle",
            "to_world": place @ mi.ScalarTransform4f().scale([half, half, 1]),
            "emitter": {"type": "area", "radiance": _rgb(radiance), "sampling_weight": weight},
        }
    made["sky"] = {"type": "constant", "radiance": _rgb([0.30, 0.31, 0.33]), "sampling_weight": 0.5}
    return made


def _rgb(values: list[float]) -> dict[str, Any]:
    return {"type": "rgb", "value": values}


def bsdf(mi: Any, name: str, m: Material) -> dict[str, Any]:
    """Mitsuba's description of a material."""
    if m.kind == "metal":
        return {
            "type": "roughconductor",
            "material": m.texture,
            "distribution": "ggx",
            "alpha": m.roughness,
        }
    pixels = np.round(paint(m.texture, SEED) * 255).astype(np.uint8)
    colour = {"type": "bitmap", "bitmap": mi.Bitmap(pixels), "wrap_mode": "repeat"}
    if m.kind == "glossy":
        return {
            "type": "roughplastic",
            "distribution": "ggx",
            "alpha": m.roughness,
            "diffuse_reflectance": colour,
        }
    matt = {"type": "diffuse", "reflectance": colour}
    return {"type": "twosided", "inner": matt} if name == "banner" else matt


def mesh_to_mitsuba(mi: Any, name: str, mesh: Mesh, surface: Any) -> Any:
    """A Mitsuba mesh with normals and texture coordinates."""
    props = mi.Properties()
    props["surface"] = surface
    shape = mi.Mesh(
        name,
        vertex_count=len(mesh.vertices),
        face_count=len(mesh.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=props,
    )
    values = mi.traverse(shape)
    values["vertex_positions"] = mi.Float(mesh.vertices.astype(np.float32).ravel())
    values["vertex_normals"] = mi.Float(mesh.normals.astype(np.float32).ravel())
    values["vertex_texcoords"] = mi.Float(mesh.uv.astype(np.float32).ravel())
    values["faces"] = mi.UInt32(mesh.faces.astype(np.uint32).ravel())
    values.update()
    return shape


def sensor(mi: Any, camera: Camera, spp: int, pixel_filter: dict[str, Any] | None = None) -> Any:
    """The Mitsuba sensor that sees what ``camera`` says; a Gaussian of 0.45 pixels by default.

    Mitsuba's camera axes are x left, y up, z forward, so x and y change sign.
    """
    to_world = np.linalg.inv(camera.world_to_camera) @ np.diag([-1.0, -1.0, 1.0, 1.0])
    K = camera.K
    return mi.load_dict(
        {
            "type": "perspective",
            "fov": float(np.degrees(2 * np.arctan(camera.width / 2 / K[0, 0]))),
            "fov_axis": "x",
            "principal_point_offset_x": float(0.5 - K[0, 2] / camera.width),
            "principal_point_offset_y": float(0.5 - K[1, 2] / camera.height),
            "near_clip": 0.05,
            "far_clip": 50.0,
            "to_world": mi.ScalarTransform4f(to_world),
            "film": {
                "type": "hdrfilm",
                "width": camera.width,
                "height": camera.height,
                "pixel_format": "rgb",
                "component_format": "float32",
                "rfilter": pixel_filter or {"type": "gaussian", "stddev": 0.45},
            },
            "sampler": {"type": "orthogonal", "sample_count": spp},
        }
    )


def develop(radiance: Array) -> np.ndarray:
    """sRGB bytes (height, width, 3) of linear radiance; highlights roll off above 0.8."""
    x = np.maximum(radiance * EXPOSURE, 0.0)
    x = np.where(x > 0.8, 0.8 + 0.2 * np.tanh((x - 0.8) / 0.2), x)
    srgb = np.where(
        x <= 0.0031308,
        12.92 * x,
        1.055 * np.power(x, 1 / 2.4, where=x > 0, out=np.zeros_like(x)) - 0.055,
    )
    return np.round(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write an image under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    Image.fromarray(pixels).save(temporary, format="PNG")
    os.replace(temporary, path)


def camera_seed(index: int) -> int:
    """Seed of camera ``index``: the same in every frame, so that what stands still stays still."""
    return SEED * 1000 + index


def image_path(scratch: Path, frame: int, camera: Camera) -> Path:
    """Where the rendered image of a camera and frame lies."""
    return scratch / f"frame_{frame:04d}" / f"{camera.name}.png"


def render_all(
    renderer: Renderer, cameras: list[Camera], frames: int, fps: int, scratch: Path
) -> None:
    """Render every image that ``scratch`` does not hold yet, frame by frame."""
    jobs = {
        frame: [i for i, c in enumerate(cameras) if not image_path(scratch, frame, c).is_file()]
        for frame in range(frames)
    }
    with tqdm(total=frames * len(cameras), unit="image") as bar:
        bar.update(frames * len(cameras) - sum(len(j) for j in jobs.values()))
        for frame, missing in jobs.items():
            if missing:
                renderer.set_time(frame / fps)
            for i in missing:
                pixels = develop(renderer.render(cameras[i], camera_seed(i)))
                save_png(image_path(scratch, frame, cameras[i]), pixels)
                bar.update()

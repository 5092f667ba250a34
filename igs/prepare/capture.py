"""A capture as it was found: where each camera's pictures are, and the cameras if it has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from igs.scene import Camera, ColmapPoints, Distortion, Rig, SceneError
from igs.scene.errors import list_names, nearest_hint
from igs.scene.images import read_image_size
from igs.scene.video_decode import read_displayed_size


@dataclass(frozen=True)
class View:
    """Where one camera's pictures are: in a video, or in images in the order of time.

    Attributes:
        name: the camera.
        video: the video file; None where there are images.
        images: image files by rising number.
        numbers: the frame number of each image.
    """

    name: str
    video: Path | None = None
    images: tuple[Path, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        """The video, or the first image."""
        return self.video or self.images[0]

    def size(self) -> tuple[int, int]:
        """Width and height of the first picture, upright.

        Raises:
            SceneError, FileNotFoundError: it cannot be read; the message names it.
        """
        return read_displayed_size(self.video) if self.video else read_image_size(self.images[0])


@dataclass(frozen=True)
class Capture:
    """What an input folder holds.

    Attributes:
        kind: what it was read as, one of `igs.config.prepare.KINDS`.
        folder: the input.
        views: camera name to its pictures, in the order of the rig, else by name.
        rig: the cameras as pinholes, with the lens distortion of the stored images; None where
            they are not known.
        points: the capture's own sparse points; None where it has none.
        cameras_from: the file that the cameras were read from, for messages.
    """

    kind: str
    folder: Path
    views: Mapping[str, View]
    rig: Rig | None = None
    points: ColmapPoints | None = None
    cameras_from: Path | None = None

    def without(self, names: Sequence[str]) -> Capture:
        """The capture without some cameras.

        Raises:
            SceneError: a name that no camera has, or no camera is left.
        """
        known = {*self.views, *(self.rig.cameras if self.rig else ())}
        for name in names:
            if name not in known:
                raise SceneError(
                    f"cameras.exclude: no camera is called {name!r}{nearest_hint(name, known)}"
                )
        views = {name: view for name, view in self.views.items() if name not in names}
        if not views:
            raise SceneError("cameras.exclude: no camera is left")
        rig = self.rig
        if rig is not None:
            rig = rig.subset([name for name in rig.cameras if name not in names])
        return replace(self, views=views, rig=rig)

    def matched(self) -> Capture:
        """The capture with its views in the rig's order.

        Raises:
            SceneError: a camera without pictures or pictures without a camera; names them.
        """
        if self.rig is None:
            return self
        absent = [name for name in self.rig.cameras if name not in self.views]
        extra = [name for name in self.views if name not in self.rig.cameras]
        if absent:
            raise SceneError(
                f"{self.folder}: no pictures of camera {list_names(absent)} of "
                f"{self.cameras_from}{nearest_hint(absent[0], self.views)} "
                f"(cameras.exclude=[{absent[0]}] leaves it out)"
            )
        if extra:
            raise SceneError(
                f"{self.cameras_from}: has no camera {list_names(extra)}, of which there are "
                f"pictures{nearest_hint(extra[0], self.rig.cameras)} "
                f"(cameras.exclude=[{extra[0]}] leaves it out)"
            )
        return replace(self, views={name: self.views[name] for name in self.rig.cameras})


def rig_with_lenses(
    cameras: Sequence[Camera],
    lenses: Mapping[str, Sequence[float]],
    held_out: Sequence[str] = (),
    fps: float | None = None,
) -> Rig:
    """A rig of pinholes from calibrated cameras as stored and their OpenCV coefficients.

    Raises:
        SceneError: two cameras of one name, or distortion that cannot be taken out.
    """
    named = Rig.of(cameras).cameras
    distortion = {
        name: lens
        for name, camera in named.items()
        if any((lens := Distortion.from_coefficients(camera, lenses.get(name, ()))).coefficients)
    }
    straight = {n: distortion[n].undistorted() if n in distortion else c for n, c in named.items()}
    return Rig(straight, tuple(held_out), distortion, fps)


def renamed(rig: Rig, names: Mapping[str, str]) -> Rig:
    """The rig with other names for its cameras.

    Args:
        rig: any rig.
        names: every camera's old name to its new one.

    Raises:
        SceneError: two cameras would have one name.
    """
    cameras = [replace(camera, name=names[old]) for old, camera in rig.cameras.items()]
    lenses = {
        names[old]: replace(lens, stored=replace(lens.stored, name=names[old]))
        for old, lens in rig.distortion.items()
    }
    return Rig(
        Rig.of(cameras).cameras,
        tuple(names[old] for old in rig.held_out),
        lenses,
        rig.fps,
        rig.num_frames,
    )

"""Tell what kind of capture a folder holds, and read its cameras."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from igs.prepare import calibration_files, field_rigs, media, opencv_yaml
from igs.prepare.capture import Capture, View, renamed
from igs.scene import ColmapPoints, Rig, camera_name, read_colmap, read_rig
from igs.scene.errors import list_names
from igs.scene.files import read_json
from igs.scene.images import IMAGE_SUFFIXES
from igs.scene.video_source import VIDEO_SUFFIXES

logger = logging.getLogger(__name__)

# Scenes of Meeting Room, whose files look like N3DV's.
_MEETING_ROOM = ("discussion", "trimming", "vrheadset")
_SPARSE_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0")


@dataclass(frozen=True)
class _Request:
    """What a reader of cameras works on."""

    path: Path
    folder: Path
    views: Mapping[str, View]
    order: str | None

    def sizes(self) -> dict[str, tuple[int, int]]:
        return {name: view.size() for name, view in self.views.items()}


@dataclass(frozen=True)
class _Found:
    rig: Rig
    points: ColmapPoints | None = None


def find_calibration(folder: Path) -> tuple[str, Path] | None:
    """The camera file of a capture and the kind of capture that goes with it.

    ``cameras.json`` comes first, as somebody wrote it for this program, then the files of the data
    sets; None where there is none.
    """
    for name, kind in (
        ("cameras.json", "videos"),
        ("transforms.json", "nerfstudio"),
        ("poses_bounds.npy", "n3dv"),
        ("cameras_parameters.txt", "technicolor"),
        ("intri.yml", "enerf"),
    ):
        if (folder / name).is_file():
            special = kind == "n3dv" and folder.name in _MEETING_ROOM
            return ("meeting_room" if special else kind), folder / name
    for name in _SPARSE_FOLDERS:
        if any((folder / name / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return "colmap", folder / name
    for place in (folder, folder / "calibration"):
        for path in sorted(place.glob("*.toml")):
            if calibration_files.is_calibration_toml(path):
                return "pose2sim", path
        for path in sorted(place.glob("*.qca.txt")):
            return "pose2sim", path
    return None


def open_capture(
    folder: Path,
    kind: str = "auto",
    *,
    cameras: str | None = None,
    exclude: Sequence[str] = (),
    order: str | None = None,
    estimate: bool = False,
) -> Capture:
    """Find a capture's pictures and read its cameras.

    Args:
        folder: the input.
        kind: one of `igs.config.prepare.KINDS`; ``auto`` goes by the files that are there.
        cameras: the camera file, relative to the folder; None looks for the usual names.
        exclude: cameras to leave out.
        order: see `field_rigs.read_poses_bounds`.
        estimate: leave the cameras unknown, whatever files there are.

    Raises:
        FileNotFoundError: the folder or a file is not there.
        SceneError: pictures or cameras that cannot be read or do not go together.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found_kind, path = _calibration(folder, kind, cameras)
    if estimate:
        path = None
    kind = found_kind if kind == "auto" else kind
    reading = _kind_of(path) if path is not None and kind in ("videos", "images") else kind
    views = _find_views(folder, kind, reading, path)
    if kind == "videos" and not any(view.video for view in views.values()):
        kind = "images"
    capture = Capture(kind, folder, views)
    if path is not None:
        found = _READERS[reading](_Request(path, folder, views, order))
        rig = _named_like(found.rig, views)
        views = _registered(rig, views, path) if reading in ("colmap", "nerfstudio") else views
        capture = Capture(kind, folder, views, rig, found.points, path)
    capture = capture.without(exclude) if exclude else capture
    logger.info(
        "%s: %d cameras as %s, %s",
        folder,
        len(capture.views),
        kind,
        f"calibrated by {path.name}" if path else "not calibrated",
    )
    return capture.matched()


def _calibration(folder: Path, kind: str, given: str | None) -> tuple[str, Path | None]:
    """Kind by the files, and the camera file; raises where the kind wants a file that is absent."""
    if given is not None:
        path = folder / given
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file (cameras.file)")
        return _kind_of(path), path
    expected = _EXPECTED.get(kind)
    if expected is not None:
        for pattern in expected:
            for path in sorted(folder.glob(pattern)):
                if path.suffix != ".toml" or calibration_files.is_calibration_toml(path):
                    return kind, path.parent if path.name.startswith("cameras.") else path
        raise FileNotFoundError(f"{folder}: kind={kind} needs {' or '.join(expected)}, not there")
    found = find_calibration(folder)
    return found if found is not None else ("videos", None)


_EXPECTED: dict[str, tuple[str, ...]] = {
    "n3dv": ("poses_bounds.npy",),
    "meeting_room": ("poses_bounds.npy",),
    "technicolor": ("cameras_parameters.txt",),
    "enerf": ("intri.yml",),
    "nerfstudio": ("transforms.json",),
    "colmap": tuple(f"{place}/cameras.{s}" for place in _SPARSE_FOLDERS for s in ("bin", "txt")),
    "pose2sim": ("*.toml", "calibration/*.toml", "*.qca.txt", "calibration/*.qca.txt"),
}


def _kind_of(path: Path) -> str:
    """Which reader a camera file needs."""
    if path.is_dir():
        return "colmap"
    if path.name.endswith(".npy"):
        return "n3dv"
    if path.name.endswith((".toml", ".qca.txt")):
        return "pose2sim"
    if path.suffix in (".yml", ".yaml"):
        return "enerf"
    if path.suffix == ".txt":
        return "technicolor"
    try:
        is_transforms = "frames" in json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError):
        is_transforms = False  # the reader of cameras.json says what is wrong
    return "nerfstudio" if is_transforms and path.name != "cameras.json" else "videos"


def _find_views(folder: Path, kind: str, reading: str, path: Path | None) -> dict[str, View]:
    if reading == "technicolor":
        return media.frame_and_camera_images(folder)
    if reading == "nerfstudio" and path is not None and (listed := _listed_views(path)):
        return listed
    if kind == "images":
        return media.find_views(folder, videos=False)
    return media.find_views(folder)


def _listed_views(path: Path) -> dict[str, View]:
    """The files that ``transforms.json`` names; empty unless all of them are there."""
    frames = read_json(path).get("frames", [])
    found: dict[str, View] = {}
    for frame in frames if isinstance(frames, list) else []:
        name = frame.get("file_path") if isinstance(frame, dict) else None
        if not isinstance(name, str):
            return {}
        base = path.parent / PurePosixPath(name.replace("\\", "/"))
        files = [base, *(base.with_name(base.name + suffix) for suffix in IMAGE_SUFFIXES)]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            return {}
        key = camera_name(file.name)
        is_video = file.suffix.lower() in VIDEO_SUFFIXES
        found[key] = View(key, video=file) if is_video else View(key, images=(file,), numbers=(0,))
    return found


def _read_object(request: _Request) -> _Found:
    return _Found(read_rig(request.path, undistort=True))


def _read_poses(request: _Request) -> _Found:
    names, sizes = list(request.views), request.sizes()
    return _Found(field_rigs.read_poses_bounds(request.path, names, sizes, request.order))


def _read_technicolor(request: _Request) -> _Found:
    return _Found(field_rigs.read_technicolor(request.path, list(request.views), request.sizes()))


def _read_enerf(request: _Request) -> _Found:
    return _Found(opencv_yaml.read_easymocap(request.path.parent, request.sizes()))


def _read_motion_capture(request: _Request) -> _Found:
    is_toml = request.path.suffix == ".toml"
    read = calibration_files.read_calibration_toml if is_toml else calibration_files.read_qualisys
    return _Found(calibration_files.with_names_of(read(request.path), request.views, request.path))


def _read_model(request: _Request) -> _Found:
    model = read_colmap(request.path)
    folders = [PurePosixPath(image.name).parent.name for image in model.images.values()]
    if all(folders) and len(set(folders)) == len(folders):
        # One image of each camera's folder: the folder names the camera.
        images = {
            number: replace(image, name=PurePosixPath(image.name).parent.name)
            for number, image in model.images.items()
        }
        model = replace(model, images=images)
    points = ColmapPoints.of(model.points.xyz, model.points.rgb) if len(model.points) else None
    return _Found(model.rig(undistort=True), points)


_READERS: dict[str, Callable[[_Request], _Found]] = {
    "videos": _read_object,
    "images": _read_object,
    "nerfstudio": _read_object,
    "n3dv": _read_poses,
    "meeting_room": _read_poses,
    "technicolor": _read_technicolor,
    "enerf": _read_enerf,
    "pose2sim": _read_motion_capture,
    "colmap": _read_model,
}


def _named_like(rig: Rig, views: Mapping[str, View]) -> Rig:
    """Cameras that are called like a file lose its suffix where the pictures have none."""
    names = {
        name: name if name in views or camera_name(name) not in views else camera_name(name)
        for name in rig.cameras
    }
    return rig if all(old == new for old, new in names.items()) else renamed(rig, names)


def _registered(rig: Rig, views: Mapping[str, View], path: Path) -> dict[str, View]:
    """The pictures that have a camera; a reconstruction need not hold all of them."""
    left_out = [name for name in views if name not in rig.cameras]
    if left_out:
        logger.warning(
            "%s: %d pictures have no camera and are left out: %s",
            path,
            len(left_out),
            list_names(left_out),
        )
    return {name: view for name, view in views.items() if name in rig.cameras}

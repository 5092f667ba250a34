#!/bin/sh
# Prepare a scene of N3DV or Meeting Room, or a folder of own videos, as the original's script of
# this name does: cameras by COLMAP from frame 0, undistorted images of every frame in
# SCENE/colmap_<i>/images.
#
#   sh script/pre_test_data.sh SCENE [igs prepare's words ...]
#   sh script/pre_test_data.sh data/flame_steak --frames 300
#   sh script/pre_test_data.sh data/flame_steak cameras.mode=auto      poses of poses_bounds.npy
#
# SCENE holds <camera>.mp4 files. As in the original, the frames go into SCENE itself; bbox.json,
# the pair files and stream.yaml go beside it. PYTHON chooses the interpreter.
set -eu

if [ $# -lt 1 ] || [ ! -d "$1" ]; then
    echo "usage: sh script/pre_test_data.sh SCENE [igs prepare's words ...]" >&2
    exit 2
fi
scene=${1%/}
shift
exec "${PYTHON:-python}" -m igs.cli prepare "$scene" "$(dirname "$scene")" \
    scene="$(basename "$scene")" cameras.mode=estimate "$@"

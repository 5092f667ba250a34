#!/usr/bin/env bash
# Frame 0 as the IGS release runs it: train, prune and recover, render, measure.
#
#   script/train.sh SCENE [OUT] [key=value ...]
#
# SCENE holds sparse/0 and images/ (for instance <data>/<scene>/colmap_0). OUT is SCENE/start_gs
# unless given, where streaming looks for it. Settings such as frame0.iterations=3000 are handed on.
set -euo pipefail

if [ $# -lt 1 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
scene=$1
shift
out=$scene/start_gs
if [ $# -gt 0 ] && [[ $1 != *=* ]] && [[ $1 != -* ]]; then
    out=$1
    shift
fi
exec igs frame0 "$scene" --out "$out" --preset igs --compress "$@"

#!/bin/sh
# Make .venv usable: find a Python, check what building needs, create or mend the environment.
# Called by the Makefile; POSIX sh. Every failure names the missing thing and its cure.
#
#   sh script/make_venv.sh venv      .venv exists, runs, and is of a supported Python
#   sh script/make_venv.sh compiler  a C++17 compiler and the headers of .venv's Python are there
#
# PYTHON=/path/to/python chooses the interpreter; CXX=compiler chooses the compiler.
set -eu

venv=.venv
oldest=10
newest=13

fail() {
    printf '\nigs set-up: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

windows() { [ "${OS:-}" = Windows_NT ]; }

venv_python() {
    if windows; then echo "$venv/Scripts/python.exe"; else echo "$venv/bin/python"; fi
}

# cure APT DNF BREW: the command that installs a package with this machine's package manager.
cure() {
    if have apt-get; then echo "cure: sudo apt-get install -y $1"
    elif have dnf; then echo "cure: sudo dnf install -y $2"
    elif [ "$(uname -s)" = Darwin ]; then echo "cure: $3"
    else echo "cure: install it with this system's package manager (Debian: $1; Fedora: $2)"
    fi
}

# Prints MAJOR.MINOR, or fails: an interpreter that does not run is as good as none.
version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null
}

in_range() {
    case "$1" in 3.*) minor=${1#3.} ;; *) return 1 ;; esac
    [ "$minor" -ge "$oldest" ] && [ "$minor" -le "$newest" ]
}

# Sets `reason` and fails when interpreter $1 cannot make the environment.
suitable() {
    version=$(version_of "$1") || { reason="$1 does not run"; return 1; }
    in_range "$version" || {
        reason="$1 is Python $version; 3.$oldest to 3.$newest is needed"; return 1; }
    "$1" -c 'import sys; sys.exit(sys.maxsize < 2**32)' </dev/null || {
        reason="$1 is a 32-bit Python; torch needs a 64-bit one"; return 1; }
    "$1" -c 'import venv, ensurepip' >/dev/null 2>&1 </dev/null || {
        reason="$1 (Python $version) has no venv module;
  $(cure "python$version-venv" "python$version" "brew install python@$version")"
        return 1; }
}

# Sets `chosen` to the interpreter that will make .venv.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        have "$PYTHON" || fail "PYTHON=$PYTHON: no such program" "cure: give the path of a Python"
        suitable "$PYTHON" || fail "PYTHON=$PYTHON: $reason"
        chosen=$PYTHON
        return
    fi
    seen=
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        have "$candidate" || continue
        if suitable "$candidate"; then chosen=$candidate; return; fi
        seen="$seen
  $reason"
    done
    fail "no usable Python 3.$oldest to 3.$newest found$seen" \
        "$(cure 'python3 python3-venv python3-dev' 'python3 python3-devel' 'brew install python@3.12')" \
        "or name one: make PYTHON=/path/to/python3.12 ..."
}

# Sets `trouble` and fails when the existing environment cannot be used.
healthy() {
    python=$(venv_python)
    [ ! -e "$venv/.incomplete" ] || { trouble="its creation was interrupted"; return 1; }
    # What is installed knows its folder by absolute paths.
    [ ! -e "$venv/.place" ] || [ "$(cat "$venv/.place")" = "$(pwd -P)" ] || {
        trouble="it was made for the folder $(cat "$venv/.place")"; return 1; }
    version=$(version_of "$python") || { trouble="its Python does not run"; return 1; }
    in_range "$version" || { trouble="it is of Python $version"; return 1; }
    if [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$version" ]; then
        trouble="it is of Python $version and PYTHON=$PYTHON is another"; return 1
    fi
    "$python" -m pip --version >/dev/null 2>&1 </dev/null || { trouble="it has no pip"; return 1; }
}

make_venv() {
    if [ -e "$venv" ]; then
        if healthy; then return; fi
        choose_python
        echo "==> $venv is made anew: $trouble"
        rm -rf "$venv"
    else
        choose_python
    fi
    echo "==> $venv with $chosen (Python $(version_of "$chosen"))"
    mkdir -p "$venv"
    : >"$venv/.incomplete"
    "$chosen" -m venv "$venv" || fail "$chosen -m venv $venv failed" \
        "$(cure "python$(version_of "$chosen")-venv" python3 'brew reinstall python')"
    pwd -P >"$venv/.place"
    rm "$venv/.incomplete"
}

check_headers() {
    "$(venv_python)" - <<'PY' || fail "the header Python.h of $(venv_python) is missing" \
        "$(cure "python$(version_of "$(venv_python)")-dev" python3-devel 'brew reinstall python')"
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
PY
}

check_compiler() {
    # CMake finds Visual Studio by itself, also when cl is not on the PATH.
    if windows; then return; fi
    compiler_cure=$(cure g++ gcc-c++ 'xcode-select --install')
    if [ "$(uname -s)" = Darwin ] && ! xcode-select -p >/dev/null 2>&1; then
        fail "no C++ compiler: the Xcode command line tools are not installed" "$compiler_cure"
    fi
    compiler=
    for candidate in "${CXX:-}" c++ g++ clang++; do
        # CXX may carry arguments ("ccache g++"): the program is its first word.
        if [ -n "$candidate" ] && have "${candidate%% *}"; then compiler=$candidate; break; fi
    done
    [ -n "$compiler" ] || fail "no C++ compiler (looked for \$CXX, c++, g++, clang++)" "$compiler_cure"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    printf '#include <optional>\nint main() { return std::optional<int>(0).value(); }\n' \
        >"$folder/try.cpp"
    # shellcheck disable=SC2086  # words of $compiler are meant to split
    $compiler -std=c++17 "$folder/try.cpp" -o "$folder/try" >"$folder/log" 2>&1 || {
        sed 's/^/    /' "$folder/log" >&2
        fail "the C++ compiler '$compiler' cannot build a C++17 program (its words above)" \
            "$compiler_cure" "or name another: make CXX=/path/to/compiler ..."
    }
}

case "${1:-}" in
    venv) make_venv ;;
    compiler) check_compiler; check_headers ;;
    *) fail "usage: sh script/make_venv.sh venv|compiler" ;;
esac

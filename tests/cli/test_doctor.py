"""`igs doctor`: findings, cures, exit code."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import platform

import numpy
import pytest
import torch

from igs import cli
from igs.cli import doctor


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Makes modules look as if they were not installed."""

    def hide(*names: str) -> None:
        real_import, real_spec = importlib.import_module, importlib.util.find_spec
        real_statement = builtins.__import__

        def hidden(name: str) -> bool:
            return name.split(".")[0] in names

        def import_module(name, package=None):
            if hidden(name):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return real_import(name, package)

        def statement(name, *args, **kwargs):
            if hidden(name):
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return real_statement(name, *args, **kwargs)

        def find_spec(name, package=None):
            return None if hidden(name) else real_spec(name, package)

        monkeypatch.setattr(importlib, "import_module", import_module)
        monkeypatch.setattr(importlib.util, "find_spec", find_spec)
        monkeypatch.setattr(builtins, "__import__", statement)

    return hide


def by_name(checks: list[doctor.Check]) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks}


def test_names_what_is_installed():
    found = by_name(doctor.collect())
    assert platform.python_version() in found["python"].detail
    assert found["torch"].detail == torch.__version__
    assert found["numpy"].detail == numpy.__version__
    for name in ("igs-rasterizer", "igs-simple-knn", "igs-fused-ssim", "igs-gmflow"):
        assert found[name].status == "ok", found[name].detail
    assert int(found["cores"].detail) >= 1


def test_every_problem_has_a_cure():
    for check in doctor.collect():
        assert check.status in {"ok", "warn", "missing"}
        assert check.status == "ok" or check.cure, check


def test_this_installation_is_whole(capsys):
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "igs-rasterizer" in printed
    assert "machine" in printed
    assert cli.main(["doctor", "--required"]) == 0
    assert capsys.readouterr().out == ""


def test_an_optional_part_that_is_absent_is_a_warning(without):
    without("warp", "mitsuba")
    found = by_name(doctor.collect())
    assert found["warp-lang"].status == "warn"
    assert found["warp-lang"].cure == "pip install warp-lang"
    assert found["mitsuba"].status == "warn"


@pytest.mark.parametrize("module", ["av", "torch", "psutil", "diff_gaussian_rasterization"])
def test_a_required_part_that_is_absent_fails_but_does_not_break(without, capsys, module):
    without(module)
    assert cli.main(["doctor", "--required"]) == 1
    printed = capsys.readouterr().out
    assert f"No module named '{module}'" in printed
    assert "make setup" in printed


def test_an_unsupported_python_is_named(monkeypatch):
    monkeypatch.setattr(doctor.sys, "version_info", (3, 14, 0, "final", 0))
    assert by_name(doctor._machine())["python"].status == "missing"


def test_report_aligns_and_groups():
    checks = [
        doctor.Check("first", "a", "ok", "1.0"),
        doctor.Check("first", "longer", "warn", "absent", "do this"),
        doctor.Check("second", "b", "missing", "gone", "do that"),
    ]
    assert doctor.render_report(checks).splitlines() == [
        "first",
        "  ok       a       1.0",
        "  warn     longer  absent",
        "                   -> do this",
        "",
        "second",
        "  missing  b       gone",
        "                   -> do that",
    ]

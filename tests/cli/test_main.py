"""The command line's frame: verbs, one-line errors, exit codes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import types

import pytest

import igs
from igs import cli
from igs.cli.progress import ProgressBars
from igs.stream import Progress


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch):
    """Registers a verb `try-it` whose behaviour the test gives."""

    def register(run):
        module = types.ModuleType("igs.cli.try_it")

        def add_parser(subparsers: argparse._SubParsersAction) -> None:
            subparsers.add_parser("try-it").set_defaults(run=run)

        module.__dict__["add_parser"] = add_parser
        monkeypatch.setitem(sys.modules, "igs.cli.try_it", module)
        monkeypatch.setattr(cli, "VERBS", ("try-it",))

    return register


def raiser(error: BaseException):
    def run(arguments: argparse.Namespace) -> int:
        raise error

    return run


def test_returns_the_exit_code_of_the_verb(verb):
    verb(lambda arguments: 7)
    assert cli.main(["try-it"]) == 7


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("camera 'cam03': 7 frames,\n  the others have 8"), "7 frames, the others"),
        (FileNotFoundError(2, "No such file or directory", "a.mp4"), "a.mp4: No such file"),
        (FileNotFoundError("scene.ply: no such file"), "scene.ply: no such file"),
        (OSError(28, "No space left on device", "out/0001.ply"), "out/0001.ply: No space left"),
        (ValueError(), "ValueError"),
    ],
)
def test_errors_are_one_line(verb, capsys, error, line):
    verb(raiser(error))
    assert cli.main(["try-it"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("igs: error: ")
    assert line in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("words", [["--debug", "try-it"], ["try-it", "--debug"]])
def test_debug_shows_the_traceback(verb, words):
    verb(raiser(ValueError("the reason")))
    with pytest.raises(ValueError, match="the reason"):
        cli.main(words)


def test_interrupt(verb, capsys):
    verb(raiser(KeyboardInterrupt()))
    assert cli.main(["try-it"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_programming_error_is_not_hidden(verb):
    verb(raiser(RuntimeError("a bug")))
    with pytest.raises(RuntimeError):
        cli.main(["try-it"])


def test_what_is_not_there_yet_is_one_line(verb, capsys):
    verb(raiser(NotImplementedError("CUDA tensors: no CUDA engine yet")))
    assert cli.main(["try-it"]) == 2
    assert "igs: error: CUDA tensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["a=1", "--config", "f", "b=2", "--resume", "c=3"],
        ["--resume", "a=1", "b=2", "--config", "f", "c=3"],
        ["--config", "f", "--resume", "a=1", "b=2", "c=3"],
    ],
)
def test_settings_may_stand_anywhere(words):
    arguments = cli.parse(["stream", *words])
    assert arguments.overrides == ["a=1", "b=2", "c=3"]
    assert arguments.resume
    assert arguments.config == "f"


@pytest.mark.parametrize(
    "words", [["stream", "--config", "f", "--resum3"], ["doctor", "a=1"], ["doctor", "-x"]]
)
def test_words_that_nothing_takes_are_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert f"unrecognized arguments: {words[-1]}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["stream", "render"])
def test_a_device_that_is_not_there_is_one_line(verb, tmp_path, capsys):
    words = {
        "stream": ["--config", "demo", "device=cuda:99"],
        "render": ["x.ply", "--cameras", "c", "--out", "o.mp4", "--device", "cuda:99"],
    }[verb]
    assert cli.main([verb, *words]) == 2
    assert "device: 'cuda:99' is asked for" in capsys.readouterr().err


def test_the_bar_of_a_run_taken_up_starts_where_it_is():
    bars = ProgressBars()
    with bars:
        bars(Progress("stream", 41, 60))
        assert bars._bar is not None
        assert (bars._bar.initial, bars._bar.n) == (40, 41)
        bars(Progress("stream", 42, 60))
        assert (bars._bar.initial, bars._bar.n) == (40, 42)


def test_unknown_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["docter"])
    assert stop.value.code == 2
    assert "doctor" in capsys.readouterr().err


def test_version_and_module_entry():
    done = subprocess.run(
        [sys.executable, "-m", "igs.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"igs {igs.__version__}"


def test_help_does_not_load_torch():
    code = (
        "import sys, igs.cli\nigs.cli.build_parser().format_help()\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_reader_that_leaves_is_no_error():
    code = (
        "import sys, time, igs.cli\n"
        "from igs.cli import doctor\n"
        "doctor.collect = lambda: [doctor.Check('s', 'n', 'ok', 'x' * 100)] * 5000\n"
        "sys.exit(igs.cli.main(['doctor']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1

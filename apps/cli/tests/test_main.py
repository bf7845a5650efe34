"""The entry point: its list of commands, and what it does not import."""

import inspect
import json
import subprocess
import sys

import pytest
from ltx_cli.main import COMMANDS, GROUPS, load, main


@pytest.mark.parametrize("name", [*COMMANDS, *GROUPS])
def test_the_line_of_a_command_is_the_first_of_its_own_help(name: str) -> None:
    command = load(name)
    text = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
    assert text == {**COMMANDS, **GROUPS}[name].help


@pytest.mark.parametrize("arguments", [["--help"], ["--show-completion", "bash"], ["nonsense"]])
def test_the_list_of_commands_needs_no_networks(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ltx_cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print({'mlx', 'numpy', 'PIL', 'ltx_core', 'ltx_pipelines'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stdout


def test_a_command_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["generat"])
    assert end.value.code == 2
    assert "Did you mean 'generate'" in capsys.readouterr().err


def test_completion_is_for_the_shell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As bash asks for it, after `ltx --install-completion`."""
    for name, value in {"_LTX_COMPLETE": "complete_bash", "COMP_WORDS": "ltx ex", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["extend"]
    monkeypatch.setenv("COMP_WORDS", "ltx extend --new")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["--new-frames"]


def test_errors_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["generate", "a ball", "--json", "-o", "/nowhere/clip.mp4"])
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["exit_code"]) == ("error", end.value.code)
    assert "/nowhere" in said["text"]

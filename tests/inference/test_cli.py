"""The command group: quick help, versions, missing extras, mistakes without tracebacks."""

import ast
import importlib.metadata
import sys
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from leadline.datasets.scan import LeadlineError
from leadline.inference import cli
from leadline.inference.ledger import LedgerError

PROBE = """
import sys
from leadline.inference.cli import main
try:
    main(["--help"], prog_name="leadline")
except SystemExit as done:
    assert done.code == 0
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_help_imports_click_and_nothing_heavy(leadline_python: object) -> None:
    done = leadline_python(PROBE)  # type: ignore[operator]
    assert "screen" in done.stdout
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert "click" in loaded
    assert not loaded & {"numpy", "cv2", "onnxruntime", "torch", "rich", "tifffile", "importlib.metadata"}


def test_help_of_screen_is_as_light(leadline_python: object) -> None:
    done = leadline_python(PROBE.replace('"--help"', '"screen", "--help"'))  # type: ignore[operator]
    assert "leadline screen scan.tif" in done.stdout
    loaded = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert not loaded & {"numpy", "cv2", "onnxruntime", "torch", "rich"}


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_entry_has_a_sentence(name: str) -> None:
    entry = cli.COMMANDS[name]
    assert entry.help.endswith(".")
    assert entry.target.startswith("leadline.")
    assert ":" in entry.target


def test_version() -> None:
    done = CliRunner().invoke(cli.main, ["--version"])
    assert (done.exit_code, done.output) == (0, f"leadline {importlib.metadata.version('leadline')}\n")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["screen"], ["screen", "x", "--nonsense"]])
def test_wrong_use(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 2
    assert "Error" in done.output


class TestFailuresOfCommands:
    @pytest.fixture
    def command(self, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
        """A command `probe` in a module of its own, which raises what `module.error` says."""
        module = types.ModuleType("leadline_probe")

        @click.command()
        def probe() -> None:
            raise module.error  # type: ignore[attr-defined]

        module.probe = probe  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "leadline_probe", module)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.Entry("leadline_probe:probe", "Fails.", "train"))
        return module

    def test_one_that_the_user_can_mend(self, command: types.ModuleType) -> None:
        command.error = LeadlineError("scans.csv: is empty; fill it")  # type: ignore[attr-defined]
        done = CliRunner().invoke(cli.main, ["probe"])
        assert (done.exit_code, done.output) == (2, "Error: scans.csv: is empty; fill it\n")

    def test_a_missing_extra(self, command: types.ModuleType) -> None:
        command.error = ModuleNotFoundError("No module named 'torch'", name="torch.nn")  # type: ignore[attr-defined]
        done = CliRunner().invoke(cli.main, ["probe"])
        assert done.exit_code == 2
        assert "needs torch" in done.output
        assert "pip install 'leadline[train]'" in done.output

    def test_a_missing_extra_at_import(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "leadline_needy.py").write_text("import a_package_that_nobody_has\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(cli.COMMANDS, "needy", cli.Entry("leadline_needy:x", "Fails.", "station"))
        done = CliRunner().invoke(cli.main, ["needy"])
        assert done.exit_code == 2
        assert "needs a_package_that_nobody_has" in done.output
        assert "leadline[station]" in done.output

    def test_one_that_passes_by_itself(self, command: types.ModuleType) -> None:
        command.error = LedgerError("cargo", "does not answer", "see that it runs", True)  # type: ignore[attr-defined]
        done = CliRunner().invoke(cli.main, ["probe"])
        assert (done.exit_code, done.output) == (4, "Error: cargo: does not answer; see that it runs\n")

    def test_ctrl_c(self, command: types.ModuleType) -> None:
        command.error = KeyboardInterrupt()  # type: ignore[attr-defined]
        done = CliRunner().invoke(cli.main, ["probe"])
        assert (done.exit_code, done.output) == (130, "\nleadline probe: interrupted; run the same command again\n")

    def test_ctrl_c_at_a_question(self, command: types.ModuleType) -> None:
        """click makes an Abort of it, as of an answer that is missing."""
        command.error = click.Abort()  # type: ignore[attr-defined]
        command.error.__context__ = KeyboardInterrupt()  # type: ignore[attr-defined]
        assert CliRunner().invoke(cli.main, ["probe"]).exit_code == 130

    def test_no_answer_to_a_question(self, command: types.ModuleType) -> None:
        command.error = click.Abort()  # type: ignore[attr-defined]
        assert CliRunner().invoke(cli.main, ["probe"]).exit_code == 1

    def test_defects_stay_visible(self, command: types.ModuleType) -> None:
        command.error = KeyError("a defect")  # type: ignore[attr-defined]
        assert isinstance(CliRunner().invoke(cli.main, ["probe"]).exception, KeyError)

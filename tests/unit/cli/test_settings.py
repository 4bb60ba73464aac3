"""Options from the environment and from alta.toml: their order, their names, and what is refused."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from conftest import ROOT

from alta_sdk.cli import COMMANDS, main
from alta_sdk.cli.settings import SHARED, list_options, list_variables, name_option, name_variables
from alta_sdk.study.key import SiteKey, identify_study

MARK = "DOE_JANE"
# Variables that mean something of their own.
OWN = {
    "ALTA_TRUST",
    "ALTA_SITE_KEY",
    "ALTA_AUDIT",
    "ALTA_DEBUG",
    "ALTA_DATA_DIR",
    "ALTA_PARITY_DIR",
    "ALTA_TRIAL_LIMITS",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder and a user's settings folder, without a file yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "alta-sdk").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def write_local(place, text):
    (place / "work" / "alta.toml").write_text(text, encoding="utf-8")


def write_of_user(place, text):
    (place / "config" / "alta-sdk" / "alta.toml").write_text(text, encoding="utf-8")


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def read_labels(*arguments):
    done = run("score", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return list(json.loads(done.stdout)["scores"])


def test_option_beats_environment_beats_working_folder_beats_user(place, bundle, radiograph_path, monkeypatch):
    write_of_user(place, f'engine = "{bundle.as_posix()}"\n[score]\nlabels = "user,"\nthreads = 1\n')
    assert read_labels(radiograph_path) == ["user"]
    write_local(place, '[score]\nlabels = "local,"\n')
    assert read_labels(radiograph_path) == ["local"]
    monkeypatch.setenv("ALTA_SCORE_LABELS", "environment,")
    assert read_labels(radiograph_path) == ["environment"]
    assert read_labels(radiograph_path, "--labels", "option,") == ["option"]


def test_one_engine_for_every_command_and_another_for_one(place, bundle, radiograph_path, monkeypatch):
    monkeypatch.setenv("ALTA_ENGINE", str(bundle))
    assert read_labels(radiograph_path, "--labels", "edema,") == ["edema"]
    assert run("embed", place, "--out", place / "x").exit_code == 1, "no study there, but an engine"
    monkeypatch.setenv("ALTA_SCORE_ENGINE", str(place / MARK))
    other = run("score", radiograph_path, "--labels", "edema,")
    assert other.exit_code == 1 and other.stderr.startswith("EngineError: engine not found")


def test_flags_numbers_and_lists(place, bundle, radiograph_path, monkeypatch):
    monkeypatch.setenv("ALTA_SCORE_JSON", "1")
    write_local(place, f'engine = "{bundle.as_posix()}"\n[score]\nlabels = "edema,"\nexplain = true\nthreads = 1\n')
    told = json.loads(run("score", radiograph_path).stdout)
    assert told["explanation"] and told["provenance"]["threads"] == 1
    monkeypatch.setenv("ALTA_SCORE_HTML", str(place / "page.html"))
    monkeypatch.setenv("ALTA_SCORE_LOCATE", "edema;left, lower lobe")
    assert run("score", radiograph_path).exit_code == 0
    assert "left, lower lobe" in (place / "page.html").read_text(encoding="utf-8")


def test_paths_are_told_from_the_folder_of_the_file(place, bundle, radiograph_path):
    (place / "config" / "alta-sdk" / "chest.alta").symlink_to(bundle, target_is_directory=True)
    write_of_user(place, 'engine = "chest.alta"\n')
    assert read_labels(radiograph_path, "--labels", "edema,") == ["edema"]


def test_trusted_keys_and_the_site_key_come_from_the_user_alone(place, bundle, radiograph_path):
    write_of_user(place, 'key-file = "own.key"\n[inspect]\ntrust = "absent.pub"\n')
    key = place / "config" / "alta-sdk" / "own.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    told = json.loads(run("score", radiograph_path, "--engine", bundle, "--labels", "edema,", "--json").stdout)
    assert told["key"] == SiteKey(b"\xab" * 32).sign(identify_study(radiograph_path)).hex()
    assert "trusted key" in run("inspect", bundle).stderr


def test_the_audit_log_is_the_users_for_every_command_and_the_environment_beats_it(
    place, bundle, radiograph_path, monkeypatch
):
    write_of_user(place, f'engine = "{bundle.as_posix()}"\naudit = "own.jsonl"\n')
    read_labels(radiograph_path, "--labels", "edema,")
    assert run("locate", radiograph_path, "--phrase", "edema", "--json").exit_code == 0
    lines = (place / "config" / "alta-sdk" / "own.jsonl").read_text().splitlines()
    assert [json.loads(line)["actor"] for line in lines] == ["alta score", "alta locate"]
    monkeypatch.setenv("ALTA_AUDIT", str(place / "site.jsonl"))
    read_labels(radiograph_path, "--labels", "edema,")
    assert len((place / "site.jsonl").read_text().splitlines()) == 1
    assert (place / "config" / "alta-sdk" / "own.jsonl").read_text().splitlines() == lines


def test_the_engine_of_every_command_and_the_command_engine_are_two_things(place, bundle, radiograph_path):
    write_local(place, f'engine = "{bundle.as_posix()}"\n')
    told = run("engine", "compile", place / "nowhere.alta")
    assert told.exit_code == 1 and told.stderr.startswith("EngineError: engine not found"), told.output
    assert read_labels(radiograph_path, "--labels", "edema,") == ["edema"]
    write_local(place, "[engine.compile]\nthreads = true\n")
    told = run("engine", "compile", place / "nowhere.alta")
    assert told.exit_code == 1 and "[engine.compile] threads must be a whole number" in told.stderr, told.output
    assert run("score", radiograph_path, "--engine", bundle, "--labels", "edema,").exit_code == 0


REFUSED = {
    "an unknown option": ('[score]\nlabells = "x"\n', "[score] labells is unknown: did you mean labels?"),
    "an unknown table": ('[scores]\nlabels = "x"\n', "scores is unknown at the top: did you mean [score]?"),
    "an unknown shared option": (
        'labels = "x"\n',
        "labels is unknown at the top: options of every command are",
    ),
    "text for a number": ('threads = "2"\n', "threads must be a whole number"),
    "truth for a number": ("threads = true\n", "threads must be a whole number"),
    "a number for a text": ("[score]\nlabels = 5\n", "[score] labels must be a text in quotes"),
    "text for a flag": ('[score]\nexplain = "yes"\n', "[score] explain must be true or false"),
    "text for a list": ('[score]\nlocate = "edema"\n', "[score] locate must be a list of texts"),
    "a value for a table": ("score = 5\n", "score is unknown at the top: did you mean [score]?"),
    "a trusted key of the working folder": (f'trust = "{MARK}"\n', "trust is taken from alta.toml among your settings"),
    "a site key of the working folder": ('[score]\nkey-file = "x"\n', "[score] key-file is taken from alta.toml among"),
    "an audit log of the working folder": ('[score]\naudit = "x"\n', "[score] audit is taken from alta.toml among"),
    "identifiers by the working folder": (
        "[score]\nwith-identifiers = true\n",
        "[score] with-identifiers is taken from alta.toml among",
    ),
    "pictures by the working folder": (
        "[score]\nwith-pictures = true\n",
        "[score] with-pictures is taken from alta.toml among",
    ),
    "no TOML": (f'engine = "{MARK}\n', "is no TOML: look at line 1"),
    "too deep": ("a = " + "[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_right_is_one_line(place, name):
    text, message = REFUSED[name]
    write_local(place, text)
    done = run("score", "x", "--engine", "y", "--labels", "a,b")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.output
    assert done.stderr.startswith("AltaError: alta.toml in the working folder") and message in done.stderr
    assert MARK not in done.output and str(place) not in done.output
    assert run("score", "--help").exit_code == 0 and run("--help").exit_code == 0


def test_other_bytes_and_other_kinds_of_files_are_refused(place):
    path = place / "work" / "alta.toml"
    for make in (lambda: path.write_bytes(b"\xff\xfe"), lambda: path.write_bytes(b"#" * (1 << 20) + b"\n"), path.mkdir):
        path.unlink(missing_ok=True)
        make()
        done = run("doctor")
        assert done.exit_code == 1 and done.stderr.startswith("AltaError: alta.toml in the working folder"), done.output
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_a_file_that_others_may_write_is_refused(place, monkeypatch):
    write_of_user(place, "threads = 1\n")
    path = place / "config" / "alta-sdk" / "alta.toml"
    path.chmod(0o666)
    done = run("doctor")
    assert done.exit_code == 1 and "alta.toml among your settings may be written by every user" in done.stderr
    path.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(path).st_uid + 1)
    is_of_root = os.stat(path).st_uid == 0
    other = run("doctor")
    assert (other.exit_code == 0) is is_of_root, "root may leave it there for everybody"
    if not is_of_root:
        assert "belongs to another user" in other.stderr


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root gives files away")
def test_root_takes_no_file_of_another_user(place):
    write_local(place, "threads = 1\n")
    os.chown(place / "work" / "alta.toml", 12345, -1)
    done = run("doctor")
    assert done.exit_code == 1 and "in the working folder belongs to another user" in done.stderr


def test_what_a_setting_holds_is_not_quoted(place, monkeypatch):
    monkeypatch.setenv("ALTA_SCORE_CSV", str(place))
    given = ["score", "x", "--engine", "y", "--labels", "a,b"]
    done = run(*given)
    assert done.exit_code == 2 and str(place) not in done.output
    monkeypatch.delenv("ALTA_SCORE_CSV")
    write_local(place, f'[score]\nfusion-mode = "{MARK}"\n')
    done = run(*given)
    assert done.exit_code == 2 and MARK not in done.output, done.output


def test_every_option_has_a_variable_and_none_takes_one_that_is_there():
    seen = {}
    for name in COMMANDS:
        command = main.commands[name]
        name_variables(command, ("ALTA", name))
        name_variables(command, ("ALTA", name))  # once is enough
        for option in list_options(command):
            assert option.envvar[0] == f"ALTA_{name}_{name_option(option)}".upper().replace("-", "_")
            assert len(set(option.envvar)) == len(option.envvar)
        for variable in list_variables(command):
            seen.setdefault(variable, set()).add(name)
    shared = {f"ALTA_{name}".upper().replace("-", "_") for name in SHARED}
    assert {variable for variable, commands in seen.items() if len(commands) > 1} <= shared | OWN
    assert OWN & seen.keys() == {"ALTA_TRUST", "ALTA_SITE_KEY", "ALTA_AUDIT"}
    assert "ALTA_KEY_FILE" not in seen, "the site key has its variable already"


def test_debug_keeps_its_meaning(place, monkeypatch):
    monkeypatch.setenv("ALTA_DEBUG", "yes, please")
    done = run("inspect", place / "nowhere.alta")
    assert done.exit_code == 1 and "Traceback" in done.stderr


def test_nothing_is_imported_for_settings_that_are_not_there(place):
    code = "import sys; from alta_sdk.cli import main; main(['keygen', '--help'], standalone_mode=False)"
    code += "; print([name for name in ('tomllib', 'pydicom', 'onnxruntime') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


PROGRAM = "import sys; sys.argv[0] = 'alta'; from alta_start import alta; alta()"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_shells_works_through_the_start(shell):
    def complete(**variables):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env={**os.environ, **variables}, cwd=ROOT
        )

    script = complete(_ALTA_COMPLETE=f"{shell}_source")
    assert script.returncode == 0 and f"_ALTA_COMPLETE={shell}_complete" in script.stdout, script.stderr
    words = {"COMP_WORDS": "alta score --lab", "COMP_CWORD": "2" if shell != "fish" else "--lab"}
    found = complete(_ALTA_COMPLETE=f"{shell}_complete", **words)
    assert "--labels" in found.stdout, found.stderr


def test_the_help_lists_the_label_sets_of_the_engine(place, bundle, monkeypatch):
    for command in ("score", "compare", "calibrate", "validate"):
        assert "Label sets of this engine" not in run(command, "--help").stdout
        shown = run(command, "--engine", bundle, "--help")
        assert shown.exit_code == 0 and "chexpert5" in shown.stdout.partition("Label sets of this engine")[2]
    monkeypatch.setenv("ALTA_ENGINE", str(bundle))
    assert "Cardiomegaly" in run("score", "--help").stdout
    monkeypatch.setenv("ALTA_ENGINE", str(place / MARK))
    shown = run("score", "--help")
    assert shown.exit_code == 0 and "cannot be read: alta inspect" in shown.stdout and MARK not in shown.stdout


def test_inspect_lists_the_label_sets(bundle):
    shown = run("inspect", bundle).stdout
    assert "Label sets" in shown and "chexpert5  Atelectasis, Cardiomegaly" in shown
    told = json.loads(run("inspect", bundle, "--json").stdout)
    assert told["label_sets"]["rsna"] == ["pneumonia"]
    assert told["schema_version"] == 1 and told["manifest_version"] == 2

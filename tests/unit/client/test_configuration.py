"""Configuration: which source wins, what is refused and how, and that no secret is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jetrun.actors.errors import BadConfiguration, InvalidName
from jetrun.actors.limits import RETENTION_US
from jetrun.client.configuration import Configuration, mask_url
from jetrun.client.configuration_keys import KEYS, Value
from jetrun.client.settings import ServerSettings, Settings, WorkerSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project: the search for a file does not leave it."""
    (tmp_path / ".git").mkdir()
    return tmp_path


def read(
    folder: Path, arguments: dict[str, Value | None] | None = None, environment: dict[str, str] | None = None
) -> Configuration:
    return Configuration.read(arguments, environment=environment or {}, folder=folder)


# --- which source wins ---------------------------------------------------------------------------------------


def test_arguments_beat_environment_beats_file_beats_defaults(folder: Path) -> None:
    """Each key by itself: a file that sets one does not hide a variable that sets another."""
    (folder / "jetrun.toml").write_text('url = "nats://f:1"\napp = "file"\nconcurrency = 7\nmodules = ["f"]\n')
    environment = {"JETRUN_URL": "nats://e:1", "JETRUN_APP": "environment"}

    found = read(folder, {"url": "nats://a:1", "queues": ()}, environment)

    sources = {name: (found.entry(name).value, found.entry(name).source) for name in ("url", "app", "concurrency")}
    assert sources == {
        "url": ("nats://a:1", "argument"),
        "app": ("environment", "environment"),
        "concurrency": (7, "file"),
    }
    assert (found.entry("queues").value, found.entry("queues").source) == ((), "default")


def test_every_value_knows_the_place_it_comes_from(folder: Path) -> None:
    """A wrong value is mended where it stands: option, variable, or file and line."""
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "x"\nurl = "no"\n\n[tool.jetrun]\n# ours\nurl = "nats://f:1"\n'
    )

    found = read(folder, {"app": "a"}, {"JETRUN_TOKEN": "t"})

    assert found.entry("app").where == "--app"
    assert found.entry("token").where == "JETRUN_TOKEN"
    assert found.entry("url").where == f"{folder / 'pyproject.toml'}:7"
    assert found.entry("user").where == ""


def test_environment_is_read_by_what_a_key_takes(folder: Path) -> None:
    """Lists by commas, numbers as numbers; what is empty is not set."""
    found = read(folder, environment={"JETRUN_MODULES": "a.b, c ,", "JETRUN_CONCURRENCY": "9", "JETRUN_QUEUES": ""})

    assert WorkerSettings.of(found) == WorkerSettings(modules=("a.b", "c"), concurrency=9)


def test_retention_is_a_span_of_time(folder: Path) -> None:
    """As people write it, and as workers count it."""
    default = WorkerSettings.of(read(folder))
    longer = WorkerSettings.of(read(folder, environment={"JETRUN_RETENTION": "60d12h"}))

    assert default.retention_us == RETENTION_US
    assert longer.retention_us == (60 * 24 + 12) * 3_600_000_000


def test_paths_and_modules_of_a_file_are_meant_from_its_folder(folder: Path) -> None:
    """`wfctl` works in every folder of a project."""
    (folder / "jetrun.toml").write_text('modules = ["flows"]\ncreds = "secret/my.creds"\nstore = "/var/jetrun"\n')
    (folder / "below").mkdir()

    found = read(folder / "below")

    assert WorkerSettings.of(found).folder == folder
    assert Settings.of(found).creds == str(folder / "secret/my.creds")
    assert ServerSettings.of(found).store == Path("/var/jetrun")
    assert WorkerSettings.of(read(folder / "below", {"modules": ("other",)})).folder is None


def test_structs_without_configuration_are_the_defaults(folder: Path) -> None:
    """A default is written twice, and is the same."""
    found = read(folder)

    assert Settings.of(found) == Settings()
    assert WorkerSettings.of(found) == WorkerSettings()
    assert ServerSettings.of(found) == ServerSettings()


# --- which file ------------------------------------------------------------------------------------------------


def test_nearest_file_wins_and_the_search_ends_with_the_project(folder: Path) -> None:
    """What lies above a repository is somebody else's."""
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (folder / "jetrun.toml").write_text('app = "outer"\n')
    assert read(inner).text("app") == "outer"

    (folder / "a" / "pyproject.toml").write_text('[tool.jetrun]\napp = "inner"\n')
    (inner / "pyproject.toml").write_text('[project]\nname = "jetrun-user"\n')
    assert read(inner).text("app") == "inner"

    (folder / "a" / "jetrun.toml").write_text('app = "own"\n')
    assert read(inner).text("app") == "own"

    (inner / ".git").write_text("gitdir: elsewhere")
    assert read(inner).path is None


def test_folder_above_that_is_open_to_all_is_passed_over(folder: Path) -> None:
    """A file names code that is run: nobody can leave one in /tmp for others."""
    inner = folder / "inner"
    inner.mkdir()
    (folder / "jetrun.toml").write_text('modules = ["evil"]\n')
    folder.chmod(0o777)

    assert read(inner).path is None
    assert read(folder).path == folder / "jetrun.toml"


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('ulr = "nats://a:1"', "unknown key 'ulr' in {file}:1; did you mean 'url'?"),
        ('app = "a"\nsever = "nats://a:1"', "unknown key 'sever' in {file}:2; did you mean 'url'?"),
        ("xyzzy = 1", "unknown key 'xyzzy' in {file}:1; the keys are url, app, "),
        ("[colours]\nred = 1", "unknown key 'colours' in {file}:1; "),
        ("[retention]\ndays = 1", "{file}:1: retention is a table, expected a text"),
        ("retention = 7", "{file}:1: retention is a number (7), expected a text"),
        ('retention = "7"', "{file}:1: retention: '7' "),
        ('retention = "-1d"', "{file}:1: retention: '-1d' "),
        ('concurrency = "10"', "{file}:1: concurrency is a text ('10'), expected a whole number"),
        ("concurrency = true", "{file}:1: concurrency is a switch (True), expected a whole number"),
        ("concurrency = 0", "{file}:1: concurrency is 0, expected 1 to "),
        ("port = 70000", "{file}:1: port is 70000, expected 0 to 65535"),
        ('modules = "flows"', "{file}:1: modules is a text ('flows'), expected a list of texts"),
        ("modules = [1]", "{file}:1: modules is a list ([1]), expected a list of texts"),
        ("[url]\nhost = 1", "{file}:1: url is a table, expected a text"),
        ('url = ""', "{file}:1: url is empty, expected a text"),
        ('sync_always = "yes"', "{file}:1: sync_always is a text ('yes'), expected true or false"),
        ('log_level = "loud"', "{file}:1: log_level 'loud' is none of `debug`, `info`, "),
        ('app = "a.b"', "{file}:1: app 'a.b' contains '.'"),
        ('store = "a\\u0000b"', "{file}:1: store is a text ('a\\x00b'), expected no control characters"),
        ('creds = "~nobody-at-all/x"', "{file}:1: '~nobody-at-all/x' has no home directory"),
        ("concurrency = " + "9" * 5_000, "{file}: not TOML (Exceeds the limit"),
        ("password = 5", "{file}:1: password is a number, expected a text"),
        ('app = "a"\nurl = nats', "{file}:2: not TOML ("),
        ('app = "a', "{file}:1: not TOML ("),
        ("app = [\n1,", "{file}:2: not TOML ("),
        ('app = "a"\napp = "b"', "{file}:2: not TOML (Cannot overwrite a value"),
    ],
)
def test_what_a_file_cannot_say_is_one_line_with_its_place(folder: Path, text: str, complaint: str) -> None:
    """Nothing is passed over in silence, and nothing is half understood."""
    file = folder / "jetrun.toml"
    file.write_text(text)

    with pytest.raises(BadConfiguration, match=re.escape(complaint.format(file=file))) as refused:
        read(folder)

    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused_with_their_line(folder: Path) -> None:
    """As any other mistake."""
    (folder / "jetrun.toml").write_bytes(b'app = "a"\nurl = "\xff"\n')

    with pytest.raises(BadConfiguration, match=r"jetrun\.toml:2: not UTF-8"):
        read(folder)


@pytest.mark.parametrize("text", ["[project\nname = 1", '[project]\nname = "x"\n[tool]\njet = 1', "\udcff"])
def test_pyproject_without_our_table_is_not_our_concern(folder: Path, text: str) -> None:
    """A broken file of other tools must not stop a service."""
    (folder / "pyproject.toml").write_text(text, errors="surrogateescape")

    assert read(folder).path is None


def test_table_of_pyproject_is_checked_as_the_file_is(folder: Path) -> None:
    """Also where it is no table, and where the line cannot be told."""
    file = folder / "pyproject.toml"
    for text, complaint in (
        ("[tool]\njetrun = 1", f"{file}: tool.jetrun is no table"),
        ("[tool]\njetrun = {ulr = 1}", f"unknown key 'ulr' in {file}; did you mean 'url'?"),
        ("[tool.jetrun]\nurl = 1", f"{file}:2: url is a number (1), expected a text"),
    ):
        file.write_text(text)
        with pytest.raises(BadConfiguration, match=re.escape(complaint)):
            read(folder)


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("JETRUN_CONCURRENCY", "many", "JETRUN_CONCURRENCY is a text ('many'), expected a whole number"),
        ("JETRUN_CONCURRENCY", "0", "JETRUN_CONCURRENCY is 0, expected 1 to "),
        ("JETRUN_LOG_FORMAT", "xml", "JETRUN_LOG_FORMAT 'xml' is none of `text`, `json`"),
        ("JETRUN_APP", "a b", "JETRUN_APP 'a b' contains ' '"),
    ],
)
def test_variables_are_checked_as_the_file_is(folder: Path, variable: str, text: str, complaint: str) -> None:
    """With the variable's name."""
    with pytest.raises(BadConfiguration, match=re.escape(complaint)):
        read(folder, environment={variable: text})


def test_arguments_that_cannot_be_are_refused(folder: Path) -> None:
    """The app's name as everywhere, others with their option."""
    with pytest.raises(InvalidName, match="app name ''"):
        read(folder, {"app": ""})
    with pytest.raises(BadConfiguration, match="--log-level 'loud' is none of"):
        read(folder, {"log_level": "loud"})


def test_unknown_variables_are_a_warning_and_those_of_others_are_not(folder: Path) -> None:
    """A misspelt one is told; what tests, parents and Kubernetes set is none of ours."""
    others = {"JETRUN_LIFELINE": "3", "JETRUN_TEST_NATS": "x", "JETRUN_SERVICE_HOST": "10.0.0.1"}
    kubernetes = {"JETRUN_PORT": "tcp://10.0.0.1:4222", "JETRUN_PORT_4222_TCP": "tcp://10.0.0.1:4222"}

    found = read(folder, environment={**others, **kubernetes, "JETRUN_ULR": "nats://a:1", "JETRUN_XYZZY": "1"})

    assert found.warnings == (
        "nothing reads the variable JETRUN_ULR; did you mean JETRUN_URL?",
        "nothing reads the variable JETRUN_XYZZY; see `wfctl config keys`",
    )
    assert ServerSettings.of(found).port == 4222


# --- secrets ------------------------------------------------------------------------------------------------------


def test_no_secret_is_shown(folder: Path) -> None:
    """What is shown may end up in a ticket; that there is a value may be seen."""
    (folder / "my.creds").write_text("creds-secret")
    (folder / "jetrun.toml").write_text(
        'url = "nats://u:url-secret@a:1"\npassword = "p-secret"\ntoken = "t-secret"\ncreds = "my.creds"\n'
    )

    found = read(folder)
    shown = {entry.key.name: entry.shown for entry in found.entries}

    assert "secret" not in str(shown).replace(str(folder), "")
    assert (shown["url"], shown["password"], shown["token"]) == ("nats://***@a:1", "***", "***")
    assert "secret" not in repr(Settings.of(found)).replace(str(folder), "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://a:1", "nats://a:1"),
        ("nats://token@a:1", "nats://***@a:1"),
        ("nats://u:p@ss/w@a:1,tls://v:q@b:2", "nats://***@a:1,tls://***@b:2"),
        ("nats://u:p,w@a:1", "nats://***@a:1"),
        ("u:p@a:1,b:2", "***@a:1,b:2"),
    ],
)
def test_whatever_stands_before_the_server_is_hidden(url: str, shown: str) -> None:
    """Passwords hold any character."""
    assert mask_url(url) == shown


def test_keys_have_names_of_their_own() -> None:
    """One variable, one option, one key."""
    for names in ([key.name for key in KEYS], [key.variable for key in KEYS if key.variable]):
        assert len(names) == len(set(names))
    assert all(key.variable in ("", f"JETRUN_{key.name.upper()}") for key in KEYS)

"""Passwords come from where only their owner looks, and are shown nowhere; the data folder is private."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamsched.domain.errors import InputError
from streamsched.installation.folder import make_private
from streamsched.installation.settings import Settings, load_settings
from streamsched.log.kafka.config import ClientSettings, make
from streamsched.log.port import LogError
from streamsched.log.secrets import is_secret
from tests.support.cli import Cli

SECRET = "hunter2-hunter2"  # noqa: S105
SECRETS = (
    "sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config", "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_hidden_wherever_its_settings_are_written_out(name: str, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'brokers = "h:1"\n[kafka]\n"{name}" = "{SECRET}"\n"client.id" = "seen"\n')
    config.chmod(0o600)
    settings = load_settings(config, environ={})
    assert settings.kafka[name] == SECRET
    again = replace(settings, kafka={**settings.kafka, "x": "y"})
    client = ClientSettings("h:1", settings.kafka)
    for shown in (settings, settings.kafka, again, again.kafka, client, [settings], {"a": settings.kafka}):
        assert SECRET not in f"{shown!r} {shown}"
    assert "seen" in repr(settings)


@pytest.mark.parametrize("name", ["sasl.username", "ssl.ca.location", "ssl.key.location", "ssl.certificate.pem"])
def test_what_is_no_secret_is_shown(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_the_environment(name: str) -> None:
    variable = f"STREAMSCHED_KAFKA_{name.upper().replace('.', '_')}"
    assert load_settings(environ={variable: SECRET}).kafka == {name: SECRET}


def test_the_environment_wins_over_the_file_and_other_variables_are_no_settings(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[kafka]\n"sasl.password" = "old"\n"sasl.username" = "me"\n')
    config.chmod(0o600)
    environ = {
        "STREAMSCHED_KAFKA_SASL_PASSWORD": SECRET, "STREAMSCHED_KAFKA_HOME": "/opt", "STREAMSCHED_KAFKA_SSL_CA_PEM": "",
    }  # fmt: skip
    assert load_settings(config, environ=environ).kafka == {"sasl.password": SECRET, "sasl.username": "me"}


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_comes_from_a_file_of_its_own(ending: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(f"{SECRET}{ending}".encode())
    file.chmod(0o600)
    environ = {"STREAMSCHED_KAFKA_SASL_PASSWORD_FILE": str(file)}
    assert load_settings(environ=environ).kafka == {"sasl.password": SECRET}
    config = tmp_path / "c.toml"
    config.write_text(f'[kafka]\n"ssl.key.pem.file" = "{file}"\n"sasl.oauthbearer.assertion.file" = "/kept"\n')
    assert load_settings(config, environ={}).kafka == {
        "ssl.key.pem": SECRET, "sasl.oauthbearer.assertion.file": "/kept",
    }  # fmt: skip


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "not text")])
def test_a_file_that_holds_none_is_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_settings(environ={"STREAMSCHED_KAFKA_SASL_PASSWORD_FILE": str(file)})
    file.write_text(SECRET)
    both = {"STREAMSCHED_KAFKA_SASL_PASSWORD_FILE": str(file), "STREAMSCHED_KAFKA_SASL_PASSWORD": SECRET}
    with pytest.raises(InputError, match="keep one") as caught:
        load_settings(environ=both)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_everybody_can_read_is_warned_of(
    mode: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET)
    config = tmp_path / "c.toml"
    config.write_text(f'[kafka]\n"sasl.password" = "{SECRET}"\n"ssl.key.password.file" = "{file}"\n')
    for path in (file, config):
        path.chmod(mode)
    load_settings(config, environ={})
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == (2 if warned else 0)
    assert all("chmod 600" in text and SECRET not in text for text in told)


def test_a_file_without_secrets_may_be_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[kafka]\n"client.id" = "x"\n')
    config.chmod(0o644)
    load_settings(config, environ={})
    assert not caplog.records


@pytest.mark.parametrize(
    "settings",
    [
        {"bootstrap.servers": "h:1", "sasl.password": SECRET, "acks": SECRET},
        {"bootstrap.servers": "h:1", "ssl.key.pem": SECRET, "security.protocol": "ssl"},
        {"bootstrap.servers": "h:1", "sasl.password": SECRET, SECRET: "x"},
    ],
)
def test_what_the_client_refuses_is_told_without_secrets(settings: dict[str, str]) -> None:
    with pytest.raises(LogError) as caught:
        make(Producer, settings)
    assert SECRET not in str(caught.value)


def test_no_command_shows_a_secret(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.environment |= {
        "STREAMSCHED_KAFKA_SASL_PASSWORD": SECRET, "STREAMSCHED_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
        "STREAMSCHED_KAFKA_SASL_MECHANISM": SECRET, "STREAMSCHED_LOG_LEVEL": "debug",
    }  # fmt: skip
    done = cli.start("list", "--brokers", "localhost:1", "--debug")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 3
    assert SECRET not in out + err


# --- the data folder -------------------------------------------------------------------------------------------------


def open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in [folder, *folder.rglob("*")] if path.lstat().st_mode & 0o077]


@pytest.mark.slow
def test_what_a_run_leaves_behind_is_private(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    before = os.umask(0o022)
    try:
        cli("run", cli.template("count"), "--task-id", "t")
        assert open_to_others(tmp_path / ".streamsched") == []
        cli("status", "t")
        assert open_to_others(tmp_path / ".streamsched") == []
        (tmp_path / ".streamsched").chmod(0o755)
        (tmp_path / ".streamsched" / "output.log").chmod(0o644)
        cli("run", cli.template("count"), "--task-id", "u")
        assert open_to_others(tmp_path / ".streamsched") == []
    finally:
        os.umask(before)


def test_a_new_folder_is_private_from_the_begin_and_its_parents_are_as_ever(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [(), ("log",), ("views", "output.log")])
def test_a_folder_of_ours_is_tightened(content: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for name in content:
        (folder / name).mkdir()
    make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_others_is_warned_of_and_ours_in_it_is_tightened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "home"
    (folder / "views" / "x").mkdir(parents=True)
    (folder / "mine.txt").touch(0o644)
    folder.chmod(0o755)
    make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "mine.txt").stat().st_mode) == 0o644
    assert open_to_others(folder / "views") == []
    assert "chmod 700" in caplog.text


def test_settings_are_equal_whatever_holds_them() -> None:
    assert Settings(kafka={"a": "b"}) == Settings(kafka={"a": "b"})


def test_executors_have_settings_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "reads").write_text("only-reads\n")
    config = tmp_path / "s.toml"
    config.write_text(
        '[kafka]\n"sasl.username" = "all"\n"sasl.password" = "p"\n"ssl.ca.location" = "ca"\n'
        f'[kafka.executors]\n"sasl.username" = "reads"\n"sasl.password.file" = "{tmp_path / "reads"}"\n'
    )
    config.chmod(0o600)
    settings = load_settings(config, environ={})
    assert dict(settings.kafka) == {"sasl.username": "all", "sasl.password": "p", "ssl.ca.location": "ca"}
    assert dict(settings.executors) == {"sasl.username": "reads", "sasl.password": "only-reads"}
    assert "only-reads" not in repr(settings)
    config.write_text("[kafka]\nexecutors = 3\n")
    with pytest.raises(InputError, match=r"kafka\.executors: must be a table"):
        load_settings(config, environ={})

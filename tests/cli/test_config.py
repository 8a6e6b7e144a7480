"""Options from the environment, and ``wsext config``, which tells where each comes from."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

import wsext as package
from tests.cli.invoking import invoke
from tests.e2e.processes import ENV, serving, wsext
from tests.fake import write_metadata
from wsext import OptionError
from wsext.cli.config import config

FILE = """
option_sets = ["low-memory"]
[serve]
port = 9001
[server]
max-connections = 7
[websocket]
close_timeout = 3
[extensions.permessage-deflate]
level = 2
"""


def rows(*args: str, cwd: Path, **variables: str) -> dict[str, tuple[object, str | None]]:
    done = wsext("config", "--json", *args, cwd=cwd, env={**ENV, **variables})
    assert done.returncode == 0, done.stderr
    return {row["option"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "wsext.toml").write_text(FILE)
    found = rows(
        "--set",
        "websocket.close_timeout=5",
        cwd=tmp_path,
        WSEXT_SERVE__PORT="9002",
        WSEXT_SERVER__TRUSTED_PROXIES="10.0.0.0/8, unix",
        WSEXT_EXTENSIONS__PERMESSAGE_DEFLATE__LEVEL="9",
        WSEXT_EXTENSIONS__FRAMELOG="false",
    )
    assert found["serve.port"] == (9002, "WSEXT_SERVE__PORT")
    assert found["server.max_connections"] == (7, "wsext.toml")
    assert found["server.trusted_proxies"] == (
        ["10.0.0.0/8", "unix"],
        "WSEXT_SERVER__TRUSTED_PROXIES",
    )
    assert found["websocket.close_timeout"] == (5, "command line")
    assert found["extensions.permessage-deflate.level"] == (
        "9",
        "WSEXT_EXTENSIONS__PERMESSAGE_DEFLATE__LEVEL",
    )
    assert found["extensions.framelog"] == (False, "WSEXT_EXTENSIONS__FRAMELOG")
    assert "option set low-memory" in {source for _, source in found.values()}
    assert "server.backlog" not in found
    assert rows("--all", cwd=tmp_path)["server.backlog"] == (1024, None)


def test_what_only_code_sets_is_shown_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_metadata(tmp_path, "keyed", {"x-keyed": "tests.extensions:Keyed"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("wsext.toml").write_text("[extensions.x-keyed]\nsize = 8\n")
    lines = invoke(command=config).stdout.splitlines()
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert found["extensions.x-keyed.keys"] == "(only code sets it) code"
    assert found["extensions.x-keyed.size"] == "8 wsext.toml"
    Path("wsext.toml").write_text("[extensions.x-keyed]\nkeys = 's3cret'\n")
    with pytest.raises(OptionError, match=r"keys: can only be set in code.*source: wsext.toml"):
        raise invoke(command=config).exception or AssertionError("it was taken")


def test_it_is_readable_and_hides_secrets(tmp_path: Path) -> None:
    env = {
        **ENV,
        "WSEXT_EXTENSIONS__METRICS__TOKEN": "hunter2",
        "WSEXT_EXTENSIONS__OTHER__KEY": "hunter2",
        "WSEXT_EXTENSIONS__OTHER__URL": "https://:hunter2@example.org/",
        "WSEXT_EXTENSIONS__MORE": '{urls = ["https://:hunter2@a/"], on = {api_key = "hunter2"}}',
        "WSEXT_SERVER__BACKPLANE": "redis://ada:hunter2@broker:1/0?password=hunter2",
        "WSEXT_SERVE__HEALTH": "true",
    }
    assert "hunter2" not in wsext("config", "--json", cwd=tmp_path, env=env).stdout
    done = wsext("config", cwd=tmp_path, env=env)
    assert "hunter2" not in done.stdout
    assert "redis://broker:1/0" in done.stdout
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["serve.health", "true", "WSEXT_SERVE__HEALTH"] in lines


def test_an_option_of_the_type_secret_is_hidden_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "quiet_plugin.py").write_text(
        "from typing import Annotated\n"
        "from wsext import Interceptor, OptionSet, Secret, local\n"
        "class QuietOptions(OptionSet):\n"
        "    pin: Annotated[Secret, local('a number')] | None = None\n"
        "class Quiet(Interceptor):\n"
        "    name = 'quiet'\n"
        "    Options = QuietOptions\n"
    )
    write_metadata(tmp_path, "quiet", {"quiet": "quiet_plugin:Quiet"})
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "WSEXT_PLUGINS": "quiet"}
    done = wsext("config", "--set", "extensions.quiet.pin=hunter2", cwd=tmp_path, env=env)
    assert "hunter2" not in done.stdout
    assert "extensions.quiet.pin" in done.stdout


async def test_the_environment_reaches_the_server_and_its_workers(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[websocket]\nmax_message_size = 5\n")
    env = {
        **ENV,
        "WSEXT_CONFIG": str(tmp_path / "other.toml"),
        "WSEXT_SERVE__WORKERS": "1",
        "WSEXT_EXTENSIONS__PERMESSAGE_DEFLATE__SERVER_MAX_WINDOW_BITS": "9",
    }
    with serving(env=env) as served:
        url = f"{served.ws}/echo"
        async with package.connect(url, extensions=["permessage-deflate"]) as session:
            header = "permessage-deflate; server_max_window_bits=9; client_max_window_bits=12"
            assert session.negotiation.header == header
            await session.send("too long")
            assert (await session.wait_closed()).code == 1009


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("WSEXT_PORT", "WSEXT_PORT: no such variable"),
        ("WSEXT_SERVE__PROT", "did you mean 'WSEXT_SERVE__PORT'?"),
        ("WSEXT_SERVER__MAX_CONECTIONS", "did you mean 'WSEXT_SERVER__MAX_CONNECTIONS'?"),
        ("WSEXT_OPTION_SET", "did you mean 'WSEXT_OPTION_SETS'?"),
        ("WSEXT_SERVE__PORT", "serve: port: expected a whole number from 0 to 65535"),
        ("WSEXT_EXTENSIONS__PERMESSAGE_DEFLATE__LEVL", "did you mean 'level'?"),
        ("WSEXT_EXTENSIONS__PERMESAGE_DEFLATE__LEVEL", "did you mean 'permessage-deflate'?"),
    ],
)
def test_a_variable_without_meaning_is_one_line(
    variable: str, message: str, tmp_path: Path
) -> None:
    done = wsext("serve", cwd=tmp_path, env={**ENV, variable: "x"})
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_says_how_much_a_session_holds_at_most(tmp_path: Path) -> None:
    def most(*args: str) -> float:
        done = wsext("config", *args, cwd=tmp_path, env=ENV)
        assert done.returncode == 0, done.stderr
        *_, line = done.stdout.splitlines()
        found = re.fullmatch(r"one session holds at most (\S+) MiB, whatever its peer sends", line)
        assert found, line
        return float(found[1])

    usual = most()
    larger = most("--set", f"websocket.incoming_bytes={11 << 20}")
    assert round(larger - usual) == 10
    assert most("--set", "rooms.session_queue_bytes=1024") < usual

"""The files of examples/deploy are what the programs they are for take."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from millstream.config import load
from millstream.server.app import build

EXAMPLES = Path(__file__).parents[2] / "examples/deploy"
PAGE = (Path(__file__).parents[2] / "docs/deploy.md").read_text()
KEYS = {"MILLSTREAM_KEY": "k", "GROQ_API_KEY": "gsk_x"}


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_haproxy_takes_its_file() -> None:
    done = subprocess.run(
        [_program("haproxy"), "-c", "-f", str(EXAMPLES / "haproxy.cfg")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"{user} pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ access_log off; {temporary} "
        f"client_body_temp_path {tmp_path}/body; include {EXAMPLES}/nginx.conf; }}"
    )
    command = [_program("nginx"), "-t", "-c", str(config), "-p", str(tmp_path), "-e", str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["replica.toml", "one-machine.toml"])
def test_the_gateway_takes_its_settings(name: str, tmp_path: Path) -> None:
    environ = {**KEYS, "MILLSTREAM_SESSIONS__PATH": str(tmp_path / "sessions.db")}
    build(load(EXAMPLES / name, environ), environ)


def test_a_linter_finds_nothing_in_the_container_file() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or _program("hadolint")
    done = subprocess.run([hadolint, str(EXAMPLES / "Containerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """It tells of keys and values it does not know, and ends well all the same. The program is not installed here."""
    unit = tmp_path / "millstream.service"
    text = (EXAMPLES / "millstream.service").read_text()
    unit.write_text(text.replace("/opt/millstream/bin/millstream", sys.executable))
    command = [_program("systemd-analyze"), "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    own = [line for line in done.stderr.splitlines() if "millstream" in line]
    assert (done.returncode, own) == (0, [])


def test_the_compose_file_keeps_to_the_specification() -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="the package compose-spec is not installed")
    told = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
    compose = compose_spec.PyCompose.from_json(json.dumps(told))
    compose.validate()
    services = set(compose.service_names())
    assert {other for one in told["services"].values() for other in one.get("depends_on", [])} <= services
    for one in told["services"].values():
        named = {volume.partition(":")[0] for volume in one.get("volumes", []) if not volume.startswith(".")}
        assert named <= told["volumes"].keys()
        build = one.get("build")
        if build is not None:
            context = (EXAMPLES / build["context"]).resolve()
            assert (context / build["dockerfile"]).samefile(EXAMPLES / "Containerfile")
            assert (context / "pyproject.toml").is_file()


def test_the_container_installs_extras_that_there_are_and_serves() -> None:
    text = (EXAMPLES / "Containerfile").read_text()
    extras = re.search(r"/src\[([a-z,]+)\]", text)
    assert extras is not None
    project = tomllib.loads((EXAMPLES.parents[1] / "pyproject.toml").read_text())["project"]
    assert set(extras.group(1).split(",")) <= project["optional-dependencies"].keys()
    assert 'CMD ["serve"' in text


def test_the_image_is_built_of_what_the_package_is_made_of() -> None:
    root = EXAMPLES.parents[1]
    everything, *let_in = [line for line in (root / ".dockerignore").read_text().splitlines() if line[:1] in ("*", "!")]
    assert everything == "*"
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed = {"src", "pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    assert {name.removeprefix("!") for name in let_in if name[:1] == "!"} == needed


def test_addresses_of_the_compose_file_are_those_of_its_load_balancer() -> None:
    compose, haproxy = (EXAMPLES / "compose.yaml").read_text(), (EXAMPLES / "haproxy.cfg").read_text()
    assert re.findall(r"ipv4_address: (\S+)", compose) == re.findall(r"server \w+ ([\d.]+):8090", haproxy)


def test_a_stopped_service_has_time_for_its_streams() -> None:
    unit = (EXAMPLES / "millstream.service").read_text()
    limit = re.search(r"TimeoutStopSec=(\d+)", unit)
    assert limit is not None
    assert int(limit.group(1)) > load(EXAMPLES / "one-machine.toml", KEYS).server.drain


def test_every_file_is_explained() -> None:
    for file in EXAMPLES.iterdir():
        assert f"examples/deploy/{file.name}" in PAGE

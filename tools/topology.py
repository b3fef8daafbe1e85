"""What deploy/ describes, on this machine: the same files, with loopback addresses for a network.

Of compose.yaml come the programs and their environments, of the Dockerfile what is installed;
nginx, Redis and the secrets are configured by the very files that a deployment uses.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psycopg
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg import sql

from tools import postgres

BASE: Final = Path(__file__).resolve().parent.parent
DEPLOY: Final = BASE / "deploy"
DOCKERFILE: Final = DEPLOY / "docker" / "Dockerfile"
NAME: Final = "batchops.example.com"
LOOPBACK: Final = "127.0.0.1"
STOP_SECONDS: Final = 45.0
"""As long as compose.yaml gives the worker."""
SYSTEM_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"


class Topology:
    """A context manager: what was started in it has ended, and is gone, when it is left.

    `settings` are put over the environments of compose.yaml, `key` is the vendor's.
    """

    def __init__(self, folder: Path, key: str, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = dict(settings)
        self.services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())[
            "services"
        ]
        self.webs = sorted(name for name in self.services if name.startswith("web-"))
        self.workers = sorted(name for name in self.services if name.startswith("worker-"))
        self.ports = {
            name: postgres.free_port() for name in ("nginx", "postgres", "redis", *self.webs)
        }
        self.secrets = folder / "secrets"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        programs = postgres.folder_of_programs()
        if programs is None:
            raise postgres.Unobtainable("PostgreSQL is not installed.")
        self._programs = programs
        subprocess.run(
            [DEPLOY / "make-secrets", self.secrets], input=f"{key}\n".encode(), check=True
        )
        for secret, server in (("database_url", "postgres"), ("queue_url", "redis")):
            self._reach(secret, server)
        make_certificate(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in reversed(self._running):
            self.kill(name)

    def database_url(self) -> str:
        """Of the database of the web servers and workers."""
        return (self.secrets / "database_url").read_text().strip()

    # Programs -------------------------------------------------------------------------------

    def start_servers(self) -> None:
        """PostgreSQL, which is made first, and Redis."""
        folder = self.folder / "postgres"
        folder.mkdir()
        self._who = postgres.unprivileged()
        if self._who:
            self.folder.chmod(0o711)
            os.chown(folder, self._who["user"], self._who["group"])
        password = (self.secrets / "postgres_password").read_text()
        postgres.make_cluster(self._programs, folder, password, self._who)
        self.start_postgres()
        self.create_database(self.database_url().rpartition("/")[2])
        self.start_redis()

    def start_postgres(self) -> None:
        """Start the server, or start it again; what was committed before is there."""
        settings = postgres.SETTINGS | {
            "port": str(self.ports["postgres"]),
            # A killed server keeps what it wrote, without fsync, too; so a commit must be written.
            "synchronous_commit": "on",
            "full_page_writes": "on",
        }
        folder = self.folder / "postgres"
        process = postgres.start(self._programs, folder, settings, self._who)
        self._running["postgres"] = process
        url = self.database_url().rpartition("/")[0] + "/postgres"
        postgres.wait_until_ready(process, url, folder)

    def start_redis(self) -> None:
        """Start Redis as it is configured, empty."""
        text = (DEPLOY / "redis" / "redis.conf").read_text()
        path = self.folder / "redis.conf"
        path.write_text(
            f"{text.replace('/run/secrets', str(self.secrets))}\n"
            f"bind {LOOPBACK}\nport {self.ports['redis']}\ndir {self.folder}\n"
        )
        self._start("redis", ["redis-server", str(path)], self.folder, {})

    def start_nginx(self) -> None:
        """Start nginx as it is configured, on one port that speaks TLS."""
        path = self.folder / "nginx.conf"
        upstream = (DEPLOY / "nginx" / "upstream.conf").read_text()
        (sample,) = re.findall(r"^ +server .+\n", upstream, re.MULTILINE)
        servers = [sample.replace(":8000", f":{self.ports[name]}") for name in self.webs]
        upstream = upstream.replace(sample, "".join(servers))
        path.write_text(
            nginx_configuration(self.folder, upstream, f"{LOOPBACK}:{self.ports['nginx']}")
        )
        self._start("nginx", ["nginx", "-c", str(path), "-p", str(self.folder)], self.folder, {})

    def start(self, name: str, release: Path) -> None:
        """Start a service of batchops from an installed release, or start it again."""
        self._start(name, self.services[name]["command"], release, self.environment(name))

    def run(self, release: Path, *command: str, **settings: str) -> str:
        """Run manage.py of a release to its end; returns what it printed. Raises RuntimeError."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=release,
            env=self.environment("migrate") | settings,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def create_database(self, name: str) -> str:
        """Make an empty database; returns its URL."""
        server = self.database_url().rpartition("/")[0]
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{server}/{name}"

    def environment(self, service: str) -> dict[str, str]:
        """The environment of a service of batchops, with what lies elsewhere here."""
        found = {
            name: str(text).replace("/run/secrets", str(self.secrets))
            for name, text in self.services[service]["environment"].items()
        }
        here = {
            "PATH": f"{Path(sys.executable).parent}:{self._programs}:{os.defpath}",
            "ENV_FILE": os.devnull,
            "DATA_DIR": str(self.folder / "data"),
            "ALLOWED_HOSTS": NAME,
            "TRUSTED_PROXIES": LOOPBACK,
        }
        if service in self.ports:
            here |= {"WEB_HOST": LOOPBACK, "WEB_PORT": str(self.ports[service])}
        return found | here | self.settings

    def kill(self, name: str) -> None:
        """End a program at once, without asking it."""
        process = self._running[name]
        if process.poll() is not None:
            return
        if name == "postgres":
            # It takes all of its connections with it, and has to recover when it is started again.
            process.send_signal(signal.SIGQUIT)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, name: str) -> None:
        """End a program as an upgrade does: it may finish what it is at."""
        process = self._running[name]
        process.terminate()
        process.wait(STOP_SECONDS)

    def is_running(self, name: str) -> bool:
        """Whether a program that was started is still there."""
        return self._running[name].poll() is None

    def log(self, name: str) -> Path:
        """Where a program writes its output."""
        return self.folder / f"{name}.log"

    def _start(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        path = f"{environment.get('PATH', os.defpath)}:{SYSTEM_FOLDERS}"
        with self.log(name).open("ab") as output:
            self._running[name] = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _reach(self, secret: str, server: str) -> None:
        path = self.secrets / secret
        text = re.sub(rf"@{server}:\d+/", f"@{LOOPBACK}:{self.ports[server]}/", path.read_text())
        path.chmod(0o600)
        path.write_text(text)


def image_files() -> list[tuple[str, str]]:
    """What the image takes from the project, and where it puts it."""
    return re.findall(r"^COPY (?!--from)(\S+) (/app\S*)$", DOCKERFILE.read_text(), re.MULTILINE)


def install(folder: Path, *, static_files: bool) -> Path:
    """What the image holds, in a folder; returns the one in which its programs are started.

    Without static files there are no pages, and it takes less long.
    """
    for source, target in image_files():
        place = folder / target.lstrip("/")
        if (BASE / source).is_dir():
            shutil.copytree(BASE / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(BASE / source, place)
    release = folder / "app"
    environment = {"PATH": os.defpath, "DATA_DIR": str(folder / "built")}
    commands = [("-m", "compileall", "-q", ".")]
    if static_files:
        commands.append(("manage.py", "collectstatic", "--no-input", "--verbosity=0"))
    for command in commands:
        subprocess.run([sys.executable, *command], cwd=release, env=environment, check=True)
    return release


def nginx_configuration(folder: Path, upstream: str, listen: str) -> str:
    """A whole configuration of nginx around that of deploy/, which writes into a folder alone."""
    text = (DEPLOY / "nginx" / "batchops.conf").read_text()
    for line, used in (
        ("listen 80;", f"listen unix:{folder}/plain;"),
        ("listen 443 ssl;", f"listen {listen} ssl;"),
        ("listen [::]:80;", ""),
        ("listen [::]:443 ssl;", ""),
        ("/etc/ssl/batchops", str(folder)),
    ):
        if line not in text:
            raise ValueError(f"deploy/nginx/batchops.conf has no {line!r}.")
        text = text.replace(line, used)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\ndaemon off;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{upstream}{text}}}\n"
    )


def make_certificate(folder: Path) -> None:
    """A certificate that nobody vouches for, and its key, in a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

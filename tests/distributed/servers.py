"""The servers that the tests start: PostgreSQL, Redis and MariaDB, each a process on loopback.

They refuse to run as root, or had better not: root starts them as `nobody`, in a folder that `nobody` owns.
All of them end when the process that started them ends in any way.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
from pathlib import Path

from demo.airflow_api import StackError, wait_until
from demo.stack import check_port
from tests.distributed.programs import program, what_is_missing


def lasting_port() -> int:
    """A free port that stays ours while its server is down.

    Below those of outgoing connections (from 32768): one of those could take it meanwhile, or even connect to
    itself.
    """
    while True:
        with contextlib.suppress(StackError):
            return check_port(random.SystemRandom().randrange(20_000, 32_000), "a server")


class Server:
    """A server with its data in `folder`, which can be stopped and started again on the same port."""

    name: str
    end = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = lasting_port()
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._user: list[str] = []
        self._env = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
        folder.mkdir()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            folder.parent.chmod(0o755)
            self._user = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether the server answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server and wait until it answers. StackError with the end of its log if it does not."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", f"--pdeathsig={self.end.name.removeprefix('SIG')}", *self._user, *self.command()],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def answers() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise StackError(f"{self.name} did not start:\n{self._log.read_text()[-2000:]}")
            return self.ready()

        wait_until(answers, 30, f"{self.name} to answer", interval=0.05)

    def stop(self) -> None:
        """End the server in its own way, as a restart does; SIGKILL if it takes longer than 20 s."""
        if self._process is None:
            return
        self._process.send_signal(self.end)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _run(self, *command: str) -> None:
        """Run a program as the server's user. StackError with its words if it fails."""
        done = subprocess.run(
            ["setpriv", "--pdeathsig=KILL", *self._user, *command],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise StackError(f"{command[0]} failed:\n{done.stdout[-2000:]}")

    def _says(self, request: bytes, answer: bytes) -> bool:
        """Whether the server's first bytes, after `request`, hold `answer`."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
            link.sendall(request)
            return answer in link.recv(200)
        return False


def _found(name: str) -> str:
    path = program(name)
    if path is None:
        raise StackError(what_is_missing())
    return path


class Postgres(Server):
    """PostgreSQL with the superuser `airflow`, who needs no password.

    Without fsync: what a server that ended has written is in the kernel's cache. Only a crash of the machine
    would lose it.
    """

    name = "PostgreSQL"
    # A "fast" shutdown: connections are closed, transactions rolled back.
    end = signal.SIGINT

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        data = str(folder / "data")
        self._run(_found("initdb"), "-D", data, "-U", "airflow", "--auth=trust", "-E", "UTF8", "--no-sync")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": "300",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [_found("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]

    def ready(self) -> bool:
        # A request for encryption, which is answered even before the protocol begins; "N": no.
        return self._says((8).to_bytes(4, "big") + (80877103).to_bytes(4, "big"), b"N") and (
            self.folder / "data" / "postmaster.pid"
        ).read_text().rstrip().endswith("ready")

    def create(self, database: str) -> None:
        """Create a database."""
        self._run(_found("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "airflow", database)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database. The driver is named: the default differs between versions."""
        return f"postgresql+psycopg://airflow@127.0.0.1:{self.port}/{database}"


class Redis(Server):
    """Redis, which keeps its queue over a restart."""

    name = "Redis"

    def command(self) -> list[str]:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": "yes",
        }
        return [
            _found("redis-server"),
            *(word for key, value in options.items() for word in (f"--{key}", str(value))),
        ]

    def ready(self) -> bool:
        return self._says(b"PING\r\n", b"PONG")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class MariaDb(Server):
    """MariaDB with the superuser `root`, who needs no password."""

    name = "MariaDB"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._run(
            _found("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    def command(self) -> list[str]:
        return [
            _found("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--innodb-flush-log-at-trx-commit=2",
        ]

    def ready(self) -> bool:
        return self._says(b"", b"MariaDB")

    def create(self, database: str) -> None:
        """Create a database."""
        statement = f"CREATE DATABASE {database} CHARACTER SET utf8mb4"
        self._run(
            _found("mariadb"),
            "--no-defaults",
            f"--socket={self.folder / 'socket'}",
            "-u",
            "root",
            "-e",
            statement,
        )

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}?charset=utf8mb4"

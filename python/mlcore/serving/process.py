"""The HTTP server as a child process: where its executable lies, how it is started and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from mlcore.errors import MlcoreError

__all__ = ["ServerProcess", "arguments_of", "get_server_path", "spawn"]

_EXECUTABLE = Path(__file__).absolute().parent.parent / "bin" / "mlcore-server"
_GREETING = "listening on "
_LOG_LINES = 10_000
Option = str | os.PathLike[str] | float | bool | None


def get_server_path() -> str:
    """Return the path of ``mlcore-server``, the HTTP server; it needs ``libmlcore.so`` and no Python.

    Returns
    -------
    str

    Raises
    ------
    MlcoreError
        If this build of the package has no server.

    Examples
    --------
    >>> import os, mlcore
    >>> os.access(mlcore.get_server_path(), os.X_OK)
    True
    """
    if not _EXECUTABLE.is_file():
        raise MlcoreError(
            f"expected the server at {_EXECUTABLE} but found none: install the wheel, or build in place with `make dev`"
        )
    return str(_EXECUTABLE)


class ServerProcess:
    """A running ``mlcore-server``. A context manager; `spawn` makes one.

    Attributes
    ----------
    url : str
        ``http://HOST:PORT``, or ``unix:PATH``.
    port : int or None
        The port that was taken; None on a Unix socket.
    process : subprocess.Popen
        The child.
    """

    def __init__(self, arguments: list[str], *, start_timeout: float) -> None:
        self.url = ""
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._greeted = threading.Event()
        self.process = subprocess.Popen(
            [get_server_path(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        # both pipes are read all the time: a full one would stop the server
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_greeting, args=[self.process.stdout], daemon=True),
            threading.Thread(target=self._read_log, args=[self.process.stderr], daemon=True),
        ]
        for reader in reversed(self._readers):  # the first waits for the second
            reader.start()
        try:
            in_time = self._greeted.wait(start_timeout)
        except BaseException:
            self._kill()
            raise
        if not self.url:
            self._kill()
            problem = "it ended" if in_time else f"it was not listening after {start_timeout:g} s"
            printed = self.log.strip() or "nothing"
            raise MlcoreError(
                f"the server did not start: {problem} (exit code {self.returncode}); it printed: {printed}"
            )
        self.port = None if self.url.startswith("unix:") else int(self.url.rsplit(":", 1)[1])

    @property
    def log(self) -> str:
        """What it printed on standard error, its last lines."""
        return "".join(list(self._lines))

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self.process.poll()

    def close(self, timeout: float = 60.0) -> int:
        """Ask it to end (SIGTERM) and wait until requests that it has begun are answered.

        Parameters
        ----------
        timeout : float, default=60
            Seconds after which it is killed.

        Returns
        -------
        int
            The exit code; 0 when everything was answered.
        """
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self._collect()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.process.poll() is None else f"ended with {self.process.returncode}"
        return f"<mlcore.serving.ServerProcess {self.url} {state}>"

    # -- inside -------------------------------------------------------------------------------------------------

    def _read_greeting(self, pipe: IO[str]) -> None:
        first = pipe.readline().strip()
        if first.startswith(_GREETING):
            self.url = first.removeprefix(_GREETING)
        elif first:
            self._lines.append(first + "\n")
        if not first:
            self._readers[1].join()  # it ended: what it said is read before anybody is told
        self._greeted.set()
        for line in pipe:
            self._lines.append(line)

    def _read_log(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._lines.append(line)

    def _kill(self) -> None:
        self.process.kill()
        self._collect()

    def _collect(self) -> int:
        code = self.process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code


def arguments_of(models: Iterable[str | os.PathLike[str]], port: int, options: Mapping[str, Option]) -> list[str]:
    """The command line of these models and options; None and False leave an option out, a Unix socket the port."""
    arguments = [os.fspath(model) for model in models]
    listening = {"port": port} if options.get("unix") is None else {}
    for name, value in {**options, **listening}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not None and value is not False:
            arguments += [flag, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
    return arguments


def spawn(
    *models: str | os.PathLike[str],
    port: int = 0,
    start_timeout: float = 60.0,
    **options: Option,
) -> ServerProcess:
    """Start ``mlcore-server`` as a child process and wait until it listens.

    Parameters
    ----------
    *models : str or path-like
        ``.mlc`` files, or folders of ``<name>/<version>/model.mlc``.
    port : int, default=0
        The port; 0 takes one that is free.
    start_timeout : float, default=60
        Seconds in which it must listen.
    **options
        The options of ``mlcore serve`` with underscores: ``max_body=1 << 20``, ``manage=True``. None and False
        leave one out. With ``unix`` there is no port.

    Returns
    -------
    ServerProcess
        Use it as a context manager, or call its `close`.

    Raises
    ------
    MlcoreError
        If it does not start; the message has what it printed.

    See Also
    --------
    mlcore.serve : The same inside this process.

    Examples
    --------
    >>> import mlcore, os, tempfile
    >>> from urllib.request import urlopen
    >>> from sklearn.linear_model import LinearRegression
    >>> path = os.path.join(tempfile.mkdtemp(), "line.mlc")
    >>> mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])).save(path)
    >>> with mlcore.serving.spawn(path) as server, urlopen(f"{server.url}/v2/health/ready") as answer:
    ...     answer.status
    200
    """
    return ServerProcess(arguments_of(models, port, options), start_timeout=start_timeout)

"""The HTTP server inside this process: the same code as ``mlcore-server``, on threads that need no interpreter."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from mlcore.errors import MlcoreError
from mlcore.serving.process import Option, arguments_of

if TYPE_CHECKING:
    from mlcore import _server

__all__ = ["Answer", "Server", "serve"]


@dataclass(frozen=True)
class Answer:
    """What `Server.request` gives.

    Attributes
    ----------
    status : int
        Of HTTP: 200, or 4xx with ``{"error": ...}`` as the body.
    headers : dict of str to str
        Among them ``Content-Type``.
    body : bytes
    """

    status: int
    headers: dict[str, str]
    body: bytes


class Server:
    """A server in this process. A context manager; `mlcore.serve` makes one.

    Its event loops are threads that never take the interpreter's lock: requests are answered beside whatever Python
    does. A child that is forked has no server.

    Attributes
    ----------
    urls : list of str
        ``http://HOST:PORT``, ``unix:PATH``.
    refused : dict of str to str
        By model: why it, or a version of it, could not be loaded at the start.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._core: _server.Server | None = _raw_server()(arguments)
        self.urls = self._core.addresses
        self.refused = dict(self._core.refused)

    @property
    def url(self) -> str:
        """The first of `urls`."""
        return self.urls[0]

    @property
    def port(self) -> int | None:
        """The port that was taken; None where there is a Unix socket alone."""
        ports = [int(url.rsplit(":", 1)[1]) for url in self.urls if not url.startswith("unix:")]
        return ports[0] if ports else None

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        client: str = "",
    ) -> Answer:
        """Answer a request of HTTP without a connection, by the same code.

        Parameters
        ----------
        method : str
            ``"GET"``, ``"POST"``.
        target : str
            Path and query, such as ``"/v1/models/fraud/rows"``.
        body : bytes, default=b""
        headers : sequence of (str, str), optional
        client : str, default=""
            Who asks, where each client has a rate.

        Returns
        -------
        Answer

        Raises
        ------
        MlcoreError
            If the server was closed, or belongs to the process that forked this one.
        """
        if self._core is None:
            raise MlcoreError("expected a running server but found one that was closed")
        status, kind, more, answer = self._core.answer(method, target, list(headers), body, client)
        return Answer(status, {"Content-Type": kind, **dict(more)}, answer)

    def close(self) -> None:
        """Take no more connections, answer what has begun, and end; does nothing the second time."""
        core, self._core = self._core, None
        if core is not None:
            core.stop()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<mlcore.serving.Server {' '.join(self.urls)} {'closed' if self._core is None else 'running'}>"


def _raw_server() -> type[_server.Server]:
    # imported when it is needed: who computes only does not load a server
    try:
        from mlcore import _server
    except ModuleNotFoundError as error:
        raise MlcoreError(
            "expected a package with the server but found one without: install the wheel, or build with `make dev`"
        ) from error
    return _server.Server


def serve(
    *models: str | os.PathLike[str],
    port: int = 8080,
    **options: Option,
) -> Server:
    """Serve models over HTTP from this process.

    Parameters
    ----------
    *models : str or path-like
        ``.mlc`` files, or folders of ``<name>/<version>/model.mlc``.
    port : int, default=8080
        The port; 0 takes one that is free.
    **options
        The options of ``mlcore serve`` with underscores: ``host="0.0.0.0"``, ``loops=2``, ``manage=True``. None and
        False leave one out. With ``unix`` there is no port.

    Returns
    -------
    Server
        Listening. Use it as a context manager, or call its `close`.

    Raises
    ------
    InputError
        If no model can be served, or an option is not known.
    ArtifactIOError
        If the address cannot be had.

    See Also
    --------
    mlcore.serving.spawn : The same in a child process, whose faults and memory are its own.

    Examples
    --------
    >>> import mlcore, os, tempfile
    >>> from sklearn.linear_model import LinearRegression
    >>> path = os.path.join(tempfile.mkdtemp(), "line.mlc")
    >>> mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])).save(path)
    >>> with mlcore.serve(path, port=0) as server:
    ...     server.request("POST", "/predictions/line", b'[{"x0": 0.0}]').status
    200
    """
    return Server(arguments_of(models, port, options))

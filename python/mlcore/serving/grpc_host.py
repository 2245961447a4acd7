"""The Open Inference Protocol over gRPC: grpcio's server in front of the HTTP server of this process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

from mlcore._optional import import_optional
from mlcore.errors import ArtifactIOError, MlcoreError
from mlcore.serving.grpc_codec import METHODS, SERVICE, Method, make_pool, message_class, refusal_of
from mlcore.serving.server import Answer, Server

__all__ = ["GrpcHost", "serve_grpc"]

MAX_BODY = 64 << 20
MAX_CALLS = 1024
# Bytes of a request. Up to here a handover to a thread, tenths of a millisecond, costs more than it gives to others.
_SMALL = 16 << 10
_TICK, _LINGER = 0.01, 0.3  # seconds
_WATCH_SECONDS = 1.0  # as often as the server looks at its files
_PURPOSE = "serving over gRPC"
_HEALTH = "grpc.health.v1.Health"
_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_REFLECTION_TOO = "grpc.reflection.v1.ServerReflection"  # the same messages under a newer name
_log = logging.getLogger("mlcore.serving")

Headers = list[tuple[str, str]]


class _Refusal(Exception):
    """What `grpc.aio.ServicerContext.abort` takes."""

    def __init__(self, code: str, message: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.code, self.message, self.metadata = code, message, metadata


class GrpcHost:
    """A server of gRPC in the event loop that runs. An asynchronous context manager; `serve_grpc` makes one.

    It answers `inference.GRPCInferenceService`, health (``grpc.health.v1``: the server by the empty name or that of
    the service, a model by its own) and reflection. Models, limits, tokens, metrics and the log are the server's.

    Attributes
    ----------
    url : str
        ``grpc://HOST:PORT``.
    port : int
        The port that was taken.
    """

    def __init__(
        self,
        server: Server,
        *,
        port: int,
        host: str,
        max_body: int,
        max_calls: int,
        client_header: str | None,
    ) -> None:
        self._grpc = import_optional("grpc", _PURPOSE)
        self._health = import_optional("grpc_health.v1.health_pb2", _PURPOSE)
        self._server = server
        self._passed = {"authorization", "traceparent"} | ({client_header.lower()} if client_header else set())
        self._stopping = asyncio.Event()
        self._calls = 0  # that have begun
        self._threads = ThreadPoolExecutor(os.cpu_count(), "mlcore-grpc")
        self._host = self._make_host(max_body, max_calls)
        address = f"[{host}]" if ":" in host else host
        self.port = self._bind(f"{address}:{port}")
        self.url = f"grpc://{address}:{self.port}"

    async def start(self) -> None:
        """Take calls."""
        await self._host.start()

    async def stop(self, timeout: float = 30.0) -> None:
        """Take no more calls, and finish what has begun. The server goes on.

        Parameters
        ----------
        timeout : float, default=30
            Seconds after which calls are broken off.
        """
        self._stopping.set()
        end = time.monotonic() + timeout
        while self._calls and time.monotonic() < end:
            await asyncio.sleep(_TICK)
        # grpcio closes connections once the last call is over, and what is on its way then may be lost to a reset
        await asyncio.sleep(_LINGER)
        await self._host.stop(max(0.0, end - time.monotonic()))
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> GrpcHost:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<mlcore.serving.grpc_host.GrpcHost {self.url} {'stopped' if self._stopping.is_set() else 'running'}>"

    # -- what is answered ---------------------------------------------------------------------------------------

    def _make_host(self, max_body: int, max_calls: int) -> Any:
        options = [
            ("grpc.max_receive_message_length", max_body),  # also of what a message unfolds to
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a second server on the port is told so, instead of taking half of the calls
        ]
        host = self._grpc.aio.server(options=options, maximum_concurrent_rpcs=max_calls)
        services = {SERVICE: self._methods(), _HEALTH: self._health_methods(), **self._reflection_services()}
        handler = self._grpc.method_handlers_generic_handler
        host.add_generic_rpc_handlers(tuple(handler(name, methods) for name, methods in services.items()))
        return host

    def _bind(self, address: str) -> int:
        try:
            port = self._host.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if port == 0:
            raise ArtifactIOError(f"expected to listen on {address} for gRPC but found that it cannot be had")
        return int(port)

    def _methods(self) -> dict[str, Any]:
        handlers = {}
        for name, method in METHODS.items():
            make = self._stream if name == "ModelStreamInfer" else self._unary
            handlers[name] = make(method)
        return handlers

    def _health_methods(self) -> dict[str, Any]:
        request, response = self._health.HealthCheckRequest, self._health.HealthCheckResponse
        coders = {"request_deserializer": request.FromString, "response_serializer": response.SerializeToString}
        return {
            "Check": self._grpc.unary_unary_rpc_method_handler(self._check, **coders),
            "Watch": self._grpc.unary_stream_rpc_method_handler(self._watch, **coders),
        }

    def _reflection_services(self) -> dict[str, Any]:
        messages = import_optional("grpc_reflection.v1alpha.reflection_pb2", _PURPOSE)
        reflection = import_optional("grpc_reflection.v1alpha.reflection", _PURPOSE)
        pool = make_pool(self._health.DESCRIPTOR.serialized_pb, messages.DESCRIPTOR.serialized_pb)
        servicer = reflection.aio.ReflectionServicer([SERVICE, _HEALTH, _REFLECTION], pool)

        async def reflect(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async with self._refusing(context):
                async for answer in servicer.ServerReflectionInfo(self._until_stop(requests), context):
                    yield answer

        handler = self._grpc.stream_stream_rpc_method_handler(
            reflect,
            request_deserializer=messages.ServerReflectionRequest.FromString,
            response_serializer=messages.ServerReflectionResponse.SerializeToString,
        )
        return {name: {"ServerReflectionInfo": handler} for name in (_REFLECTION, _REFLECTION_TOO)}

    # -- the protocol -------------------------------------------------------------------------------------------

    def _unary(self, method: Method) -> Any:
        async def answer(data: bytes, context: Any) -> Any:
            async with self._refusing(context):
                return await self._answer(method, data, context)

        return self._grpc.unary_unary_rpc_method_handler(answer, response_serializer=_serialize)

    def _stream(self, method: Method) -> Any:
        async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            async with self._refusing(context):
                async for data in self._until_stop(requests):
                    yield await self._answer(method, data, context)

        return self._grpc.stream_stream_rpc_method_handler(answer, response_serializer=_serialize)

    async def _answer(self, method: Method, data: bytes, context: Any) -> Any:
        if self._stopping.is_set():
            raise _Refusal("UNAVAILABLE", "the server is stopping")
        left = context.time_remaining()
        ends = None if left is None else time.monotonic() + left
        work = functools.partial(self._compute, method, data, self._headers(context), ends, _address_of(context.peer()))
        if len(data) <= _SMALL and not method.is_long:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _compute(self, method: Method, data: bytes, headers: Headers, ends: float | None, client: str) -> Any:
        request = _parse(message_class(method.request), data)
        call = method.encode(request)
        if ends is not None:
            left = max(0, math.ceil((ends - time.monotonic()) * 1000))
            headers = [*headers, ("X-Request-Timeout-Ms", str(left))]
        answer = self._request(call.method, call.target, call.body, [*headers, *call.headers], client)
        if method.answers is not None and answer.status not in method.answers:
            raise _Refusal(*refusal_of(answer))
        message = message_class(method.response)()
        method.fill(message, answer, request)
        return message

    def _request(self, method: str, target: str, body: bytes, headers: Headers, client: str = "") -> Answer:
        try:
            return self._server.request(method, target, body, headers, client)
        except MlcoreError as error:  # it was closed before this host was
            raise _Refusal("UNAVAILABLE", str(error)) from error

    def _headers(self, context: Any) -> Headers:
        sent = context.invocation_metadata() or ()
        return [(name, value) for name, value in sent if name in self._passed and isinstance(value, str)]

    @contextlib.asynccontextmanager
    async def _refusing(self, context: Any) -> AsyncIterator[None]:
        """What goes wrong inside is told to the client, and never with more words than it may see."""
        self._calls += 1
        try:
            yield
            return
        except _Refusal as found:
            refusal = found
        except Exception:
            _log.exception("a call of gRPC met a fault")
            refusal = _Refusal("INTERNAL", "the server has a fault")
        finally:
            self._calls -= 1
        await context.abort(self._grpc.StatusCode[refusal.code], refusal.message, refusal.metadata)

    async def _until_stop(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The messages of a stream; it is refused more when this host stops, but one that has come is still given."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        coming = asyncio.ensure_future(anext(requests, None))
        try:
            while True:
                await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    raise _Refusal("UNAVAILABLE", "the server is stopping")
                message = coming.result()
                if message is None:
                    return
                yield message
                coming = asyncio.ensure_future(anext(requests, None))
        finally:
            stopping.cancel()
            coming.cancel()

    # -- health -------------------------------------------------------------------------------------------------

    async def _check(self, request: Any, context: Any) -> Any:
        async with self._refusing(context):
            answer = self._ask_health(request.service, self._headers(context))
            if answer.status not in (200, 503):
                raise _Refusal(*refusal_of(answer))
            return self._health.HealthCheckResponse(status=self._status_of(answer))

    async def _watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The status now and whenever it is another; a client that watches holds up no end."""
        told = None
        async with self._refusing(context):
            while True:
                is_last = self._stopping.is_set()  # asked first: who is told "serving" meanwhile is told of the end too
                answer = self._ask_health(request.service, self._headers(context))
                if answer.status not in (200, 404, 429, 503):
                    raise _Refusal(*refusal_of(answer))
                status = told if answer.status == 429 else self._status_of(answer)
                if status is not None and status != told:
                    told = status
                    yield self._health.HealthCheckResponse(status=status)
                if is_last:
                    return
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _WATCH_SECONDS)

    def _ask_health(self, service: str, headers: Headers) -> Answer:
        if self._stopping.is_set():
            return Answer(503, {}, b'{"error": "the server is stopping"}')
        if service in ("", SERVICE):
            return self._request("GET", "/v2/health/ready", b"", [])
        return self._request("GET", f"/v2/models/{quote(service, safe='')}/ready", b"", headers)

    def _status_of(self, answer: Answer) -> Any:
        names = {200: "SERVING", 404: "SERVICE_UNKNOWN"}
        return self._health.HealthCheckResponse.ServingStatus.Value(names.get(answer.status, "NOT_SERVING"))


def _address_of(peer: str) -> str:
    """The address in ``ipv4:127.0.0.1:4711`` or ``ipv6:[::1]:4711``, as HTTP's connections have it."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")


def _serialize(message: Any) -> Any:
    return message.SerializeToString()


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except Exception as error:  # protobuf's DecodeError, whose base is not the same in all versions
        raise _Refusal("INVALID_ARGUMENT", f"expected a {kind.DESCRIPTOR.name} but found other bytes") from error


async def serve_grpc(
    server: Server,
    *,
    port: int = 8001,
    host: str = "127.0.0.1",
    max_body: int = MAX_BODY,
    max_calls: int = MAX_CALLS,
    client_header: str | None = None,
) -> GrpcHost:
    """Serve the models of a server over gRPC too, from the event loop that runs.

    Needs ``pip install 'mlcore[grpc]'``.

    Parameters
    ----------
    server : Server
        What `mlcore.serve` gave; close it after the host.
    port : int, default=8001
        The port; 0 takes one that is free.
    host : str, default="127.0.0.1"
        The address to listen on.
    max_body : int, default=64 MiB
        The longest message, also after decompression.
    max_calls : int, default=1024
        Most calls at a time; further ones are refused.
    client_header : str, optional
        Metadata that says who the client is, where the server has that option too.

    Returns
    -------
    GrpcHost
        Taking calls. Use it as an asynchronous context manager, or await its `stop`.

    Raises
    ------
    ArtifactIOError
        If the address cannot be had.
    MissingDependencyError
        If grpcio is not installed.

    Examples
    --------
    >>> import asyncio, grpc, mlcore, os, tempfile
    >>> from sklearn.linear_model import LinearRegression
    >>> from mlcore.serving.grpc_host import serve_grpc
    >>> path = os.path.join(tempfile.mkdtemp(), "line.mlc")
    >>> mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])).save(path)
    >>> async def ask():
    ...     with mlcore.serve(path, port=0) as server:
    ...         async with await serve_grpc(server, port=0) as host:
    ...             async with grpc.aio.insecure_channel(host.url.removeprefix("grpc://")) as channel:
    ...                 return await channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"")
    >>> asyncio.run(ask()).hex()  # field 1 of the answer is true
    '0801'
    """
    made = GrpcHost(server, port=port, host=host, max_body=max_body, max_calls=max_calls, client_header=client_header)
    await made.start()
    return made

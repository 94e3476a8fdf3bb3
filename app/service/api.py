"""The REST interface: submit, ask, fetch, cancel; health and metrics."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from app.service.metrics import Metrics
from app.service.requests import checked
from app.service.runner import Runner
from app.service.store import Job, JobStore, QueueFullError
from gastromap import __version__
from gastromap.errors import UsageError

__all__ = ["Service", "make_app"]

_LARGEST_BODY = 64 * 1024
_RETRY_SECONDS = "10"
_LONGEST_KEY = 200
_OPEN = ("/health/live", "/health/ready")


@dataclass(frozen=True)
class Service:
    """What the routes need."""

    store: JobStore
    runner: Runner
    metrics: Metrics
    input_root: Path
    config: Path | None = None
    pacs: Path | None = None
    token: str | None = None
    grace_seconds: float = 30.0


def make_app(service: Service) -> Starlette:
    """ASGI application of a service.

    Parameters
    ----------
    service : Service
        Its runner is started and stopped with the application.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(service.runner.start)
        yield
        await run_in_threadpool(service.runner.stop, grace_seconds=service.grace_seconds)
        service.store.close()

    routes = _Routes(service)
    return Starlette(
        routes=[
            Route("/", routes.about),
            Route("/studies", routes.submit, methods=["POST"]),
            Route("/studies", routes.latest, methods=["GET"]),
            Route("/studies/{id}", routes.status, methods=["GET"]),
            Route("/studies/{id}", routes.cancel, methods=["DELETE"]),
            Route("/studies/{id}/result", routes.result),
            Route("/studies/{id}/files", routes.files),
            Route("/studies/{id}/files/{name:path}", routes.file),
            Route("/health/live", routes.live),
            Route("/health/ready", routes.is_ready),
            Route("/metrics", routes.metrics),
        ],
        middleware=[Middleware(_Token, token=service.token)] if service.token else [],
        lifespan=lifespan,
    )


class _Token(BaseHTTPMiddleware):
    """Bearer token on everything but the health checks, which an orchestrator asks without one."""

    def __init__(self, app: Any, *, token: str) -> None:
        super().__init__(app)
        self._expected = f"Bearer {token}".encode()

    async def dispatch(self, request: Request, call_next: Callable[..., Any]) -> Response:
        given = request.headers.get("authorization", "").encode()
        if request.url.path not in _OPEN and not hmac.compare_digest(given, self._expected):
            return _error(401, "TOKEN request: expected the token of the service, got another. Send it as Bearer.")
        answer: Response = await call_next(request)
        return answer


class _Routes:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def about(self, _: Request) -> Response:
        return JSONResponse({"service": "GastroMAP", "version": __version__, "use": "research use, not for diagnosis"})

    async def submit(self, request: Request) -> Response:
        service = self._service
        key = request.headers.get("idempotency-key")
        body = await request.body()
        if len(body) > _LARGEST_BODY or (key is not None and len(key) > _LONGEST_KEY):
            return _error(400, "REQUEST_INVALID request: expected a short one, got a long one. Shorten it.")
        try:
            content = json.loads(body)
            # The walk below the input root may meet a slow file system.
            wanted = await run_in_threadpool(
                checked, content, root=service.input_root, config=service.config, pacs=service.pacs
            )
            job, new = await run_in_threadpool(service.store.add, wanted, key=key)
        except ValueError:
            return _error(400, "REQUEST_INVALID request: expected JSON, got something else. See docs/service.md.")
        except UsageError as error:
            return _error(400, str(error))
        except QueueFullError:
            line = "QUEUE_FULL service: expected a free place, got none. Try again later."
            return _error(429, line, headers={"Retry-After": _RETRY_SECONDS})
        service.runner.wake()
        return JSONResponse(_shown(job), status_code=202 if new else 200, headers={"Location": f"/studies/{job.id}"})

    async def latest(self, request: Request) -> Response:
        text = request.query_params.get("limit", "20")
        count = min(int(text), 1000) if text.isdecimal() else 20
        return JSONResponse({"studies": [_shown(job) for job in self._service.store.latest(count)]})

    async def status(self, request: Request) -> Response:
        job = self._job(request)
        return _missing() if job is None else JSONResponse(_shown(job))

    async def cancel(self, request: Request) -> Response:
        job = self._job(request)
        if job is None:
            return _missing()
        if not await run_in_threadpool(self._service.store.cancel, job.id):
            return _error(409, "NOT_WAITING service: expected a waiting study, got another. It is too late.")
        return Response(status_code=204)

    async def result(self, request: Request) -> Response:
        return await self._send(request, "result.json")

    async def files(self, request: Request) -> Response:
        job = self._job(request)
        if job is None:
            return _missing()
        if job.state != "done":
            return _not_done(job)
        folder = self._service.runner.folder(job.id)
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return JSONResponse({"files": [{"name": name, "href": f"/studies/{job.id}/files/{name}"} for name in names]})

    async def file(self, request: Request) -> Response:
        return await self._send(request, request.path_params["name"])

    async def _send(self, request: Request, name: str) -> Response:
        job = self._job(request)
        if job is None:
            return _missing()
        if job.state != "done":
            return _not_done(job)
        folder = self._service.runner.folder(job.id).resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            return _missing()
        return FileResponse(path)

    async def live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def is_ready(self, _: Request) -> Response:
        runner = self._service.runner
        return JSONResponse({"ready": runner.ready, "fault": runner.fault}, status_code=200 if runner.ready else 503)

    async def metrics(self, _: Request) -> Response:
        text = await run_in_threadpool(self._service.metrics.text, self._service.store, self._service.runner)
        return Response(text, media_type="text/plain; version=0.0.4")

    def _job(self, request: Request) -> Job | None:
        return self._service.store.get(request.path_params["id"])


def _shown(job: Job) -> dict[str, Any]:
    """A job for a client: the folder is left out, its name may be that of a patient."""
    return {
        "id": job.id,
        "state": job.state,
        "code": job.code,
        "message": job.message,
        "exit_code": job.exit_code,
        "attempts": job.attempts,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "seconds": dict(job.seconds),
        "result": f"/studies/{job.id}/result" if job.state == "done" else None,
    }


def _error(status: int, line: str, *, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": line}, status_code=status, headers=headers)


def _missing() -> Response:
    return _error(404, "STUDY_UNKNOWN service: expected the id of a study or a file of it, got another. Check it.")


def _not_done(job: Job) -> Response:
    return JSONResponse({**_shown(job), "error": job.message or "There is no result yet."}, status_code=409)

"""What the service counts, in the format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.service.runner import Runner
from app.service.store import Job, JobStore
from app.service.worker import Answer
from gastromap import __version__

__all__ = ["Metrics"]

_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)


class Metrics:
    """Counters of one service; names and labels hold nothing of a patient."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ended = Counter(
            "gastromap_studies", "Studies by how they ended", ["state", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "gastromap_study_seconds", "Time of a study", ["state"], buckets=_BUCKETS, registry=self.registry
        )
        self._stages = Counter(
            "gastromap_stage_seconds", "Time by stage of the pipeline", ["stage"], registry=self.registry
        )
        self._jobs = Gauge("gastromap_jobs", "Jobs in the store by state", ["state"], registry=self.registry)
        self._resident = Gauge(
            "gastromap_worker_resident_bytes", "Memory of the worker after its last study", registry=self.registry
        )
        self._restarts = Gauge("gastromap_worker_restarts", "Deaths of the worker", registry=self.registry)
        self._ready = Gauge("gastromap_ready", "1 when models are loaded", registry=self.registry)
        Gauge("gastromap_info", "Version", ["version"], registry=self.registry).labels(__version__).set(1)

    def ended(self, job: Job, answer: Answer) -> None:
        """Count the end of a study."""
        self._ended.labels(answer.state, answer.code).inc()
        self._seconds.labels(answer.state).observe(answer.seconds.get("total", 0.0))
        for stage, seconds in answer.seconds.items():
            if stage != "total":
                self._stages.labels(stage).inc(seconds)

    def text(self, store: JobStore, runner: Runner) -> bytes:
        """Everything as text."""
        for state, number in {"queued": 0, "running": 0, **store.counts()}.items():
            self._jobs.labels(state).set(number)
        self._resident.set(runner.resident_bytes)
        self._restarts.set(runner.restarts)
        self._ready.set(int(runner.ready))
        return generate_latest(self.registry)

"""``python -m benchmarks.service``: a hundred studies through the service, some faulty, two clients, one kill -9.

Synthetic studies with a tumour SEG, and broken ones (no DICOM, a gap, another patient among the slices, no tumour
marked). Two clients submit at the same time, each with keys of its own; after a third the service and its worker are
killed and started again, and the clients submit what they got no answer for. Then: every key has one study, every study
has ended in a result or a named refusal, nothing was done twice, and the memory of the worker is that of its first
studies after the restart.

Before that the second of two studies as a hospital has them (512 x 512, seven series): its seconds from the request to
the result over those of the networks, which load nothing any more.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pydicom

from benchmarks.inputs import REPOSITORY
from benchmarks.service_process import ENDED, ServiceProcess
from benchmarks.table import render

__all__ = ["main", "make_inputs"]

#: What each broken study may end with, a code or a result: without a mark the tumour finder may find the slice.
BROKEN = {
    "no_dicom": ("NO_DICOM",),
    "gap": ("GAP",),
    "two_patients": ("PATIENT_MISMATCH",),
    "no_mark": ("done", "NO_KEY_SLICE", "NO_TUMOUR"),
}
_CLIENTS = 2
#: Aims of the project: seconds of a second study over those of its networks; growth of the memory.
_OVER_NETWORK_S, _GROWTH = 3.0, 0.1
_NETWORK_STAGES = ("infer", "explain")


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the table; return 1 where something was lost, done twice or grew."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__.split("\n\n")[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--good", type=int, default=6, help="different good studies (default: %(default)s)")
    parser.add_argument("--model", type=Path, default=REPOSITORY / "bundles", metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="gastromap-service-") as scratch:
        folders = [Path(scratch) / name for name in ("second", "endurance")]
        for folder in folders:
            folder.mkdir()
        second = second_study(ServiceProcess(folders[0], given.model))
        service = ServiceProcess(folders[1], given.model, "--queue", str(given.studies))
        names = make_inputs(service.inputs, good=given.good)
        report = {**second, **endure(service, names, studies=given.studies)}
        if report["second_study_over_network_s"] > _OVER_NETWORK_S:
            report["faults"].append(f"the second study took {report['second_study_over_network_s']} s more")
    print(render("The service", ["figure", "value"], [[name, str(value)] for name, value in report.items()]))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if report["faults"] else 0


def make_inputs(folder: Path, *, good: int) -> list[str]:
    """Write good and broken studies below a folder; returns their names, three good ones to a broken one."""
    from gastromap.synthetic.cohort import CohortPlan, write_cohort

    plan = CohortPlan(seed=66, format="dicom", centres=(1,), matrix=256, thickness_mm=5.0, with_seg=True)
    write_cohort(plan, folder / "cohort", patients=good)
    studies = sorted((folder / "cohort" / "studies").iterdir())
    (folder / "no_dicom").mkdir()
    (folder / "no_dicom" / "note.txt").write_text("no DICOM", encoding="ascii")
    for name in ("gap", "two_patients", "no_mark"):
        shutil.copytree(studies[0], folder / name)
    portal = sorted((folder / "gap" / "S003").iterdir(), key=_height)
    portal[len(portal) // 2].unlink()
    stranger = pydicom.dcmread(next((folder / "two_patients" / "S003").iterdir()))
    stranger.PatientID = "SOMEBODY-ELSE"
    stranger.save_as(folder / "two_patients" / "S003" / "stranger.dcm")
    shutil.rmtree(folder / "no_mark" / "S900")
    whole = [str(study.relative_to(folder)) for study in studies]
    names = []
    for number, broken in enumerate(BROKEN):
        names += [whole[(3 * number + k) % len(whole)] for k in range(3)] + [broken]
    return names


def second_study(service: ServiceProcess) -> dict[str, float]:
    """Seconds of the second of two full-size studies, in all and over those of the networks."""
    from gastromap.synthetic.cohort import CohortPlan, write_cohort

    plan = CohortPlan(seed=67, format="dicom", centres=(1,), with_seg=True)
    write_cohort(plan, service.inputs / "full", patients=2)
    service.start()
    try:
        for study in sorted((service.inputs / "full" / "studies").iterdir()):
            begin = time.perf_counter()
            job = service.ended(service.submit(str(study.relative_to(service.inputs))))
            seconds = time.perf_counter() - begin
    finally:
        status = service.stop()
    if job["state"] != "done" or status != 0:
        raise RuntimeError(f"the second study ended as {job['state']} {job['code']}, the service with {status}")
    network = sum(job["seconds"][stage] for stage in _NETWORK_STAGES)
    return {"second_study_s": round(seconds, 2), "second_study_over_network_s": round(seconds - network, 2)}


def _height(path: Path) -> float:
    return float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2])


def endure(service: ServiceProcess, names: Sequence[str], *, studies: int) -> dict[str, Any]:
    """Submit, kill, start again, wait for all; see the module."""
    wanted = {f"study {n}": names[n % len(names)] for n in range(studies)}
    jobs: dict[str, str] = {}
    #: Bytes of the worker by the number of studies that it has ended since its start.
    memory: dict[int, float] = {}
    service.start()
    begin = time.perf_counter()
    clients = [
        threading.Thread(target=_client, args=(service, dict(list(wanted.items())[k::_CLIENTS]), jobs))
        for k in range(_CLIENTS)
    ]
    for client in clients:
        client.start()
    killed, before = False, 0
    while True:
        try:
            shown = service.client.get("/studies", params={"limit": str(2 * studies)}).json()["studies"]
            resident = _resident(service)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        ended = [job for job in shown if job["state"] in ENDED]
        if not killed and len(ended) >= studies // 3:
            service.kill()
            killed, before = True, len(ended)
            service.start()
            continue
        if killed and resident:
            memory[len(ended) - before] = max(resident, memory.get(len(ended) - before, 0.0))
        if len(ended) >= studies and not any(client.is_alive() for client in clients):
            break
        time.sleep(0.5)
    seconds = time.perf_counter() - begin
    faults = _faults(service, wanted, jobs, shown)
    first, later = (max((v for n, v in memory.items() if (n > 20) == after), default=0.0) for after in (False, True))
    if not first or not later:
        faults.append("too few studies after the restart to judge the memory")
    elif later / first - 1 > _GROWTH:
        faults.append(f"memory grew by {later / first - 1:.0%}")
    times = [job["seconds"].get("total", 0.0) for job in shown if job["state"] == "done"]
    status = service.stop()
    return {
        "studies": studies,
        "states": dict(Counter(job["state"] for job in shown)),
        "codes": dict(Counter(job["code"] for job in shown if job["code"])),
        "seconds_all": round(seconds, 1),
        "seconds_a_study_median": round(statistics.median(times), 2) if times else None,
        "memory_mb_first_20": round(first / 2**20),
        "memory_mb_after_20": round(later / 2**20),
        "exit_status": status,
        "faults": faults,
    }


def _client(service: ServiceProcess, wanted: dict[str, str], jobs: dict[str, str]) -> None:
    """Submit each study until it is accepted: what got no answer is sent again with its key."""
    with httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as client:
        for key, name in wanted.items():
            while key not in jobs:
                try:
                    answer = client.post("/studies", json={"folder": name}, headers={"Idempotency-Key": key})
                except httpx.TransportError:
                    time.sleep(0.2)
                    continue
                if answer.status_code in (200, 202):
                    jobs[key] = answer.json()["id"]
                else:
                    time.sleep(0.2)
            time.sleep(0.05)


def _faults(
    service: ServiceProcess, wanted: dict[str, str], jobs: dict[str, str], shown: Sequence[dict[str, Any]]
) -> list[str]:
    found = []
    by_id = {job["id"]: job for job in shown}
    if len(by_id) != len(wanted) or set(jobs.values()) != set(by_id):
        found.append(f"{len(by_id)} studies for {len(wanted)} keys")
    for key, name in wanted.items():
        job = by_id.get(jobs.get(key, ""), {"state": "lost", "code": "", "id": ""})
        folder = service.outputs / job["id"]
        done = job["state"] == "done"
        whole = (folder / "result.json").is_file() if done else not folder.exists()
        good = whole and ("done" if done else job["code"]) in BROKEN.get(name, ("done",))
        if not good:
            found.append(f"{name}: {job['state']} {job['code']}")
    return found


def _resident(service: ServiceProcess) -> float:
    for line in service.client.get("/metrics").text.splitlines():
        if line.startswith("gastromap_worker_resident_bytes "):
            return float(line.split()[1])
    return 0.0


if __name__ == "__main__":
    sys.exit(main())

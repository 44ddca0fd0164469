"""What the benchmarks share: generated data, spinners, child processes with their peak memory, the table at the end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WORK = TARGET / "bench"
BIN = TARGET / "release"
TENANT = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"
NOW = "2026-06-01T08:00:00Z"


def data(devices, name, *options):
    """The folder of that name with generated data, made unless it is there."""
    folder = WORK / name
    stamp = folder / "made-of"
    words = [str(devices), *options]
    if not stamp.exists() or stamp.read_text() != " ".join(words):
        shutil.rmtree(folder, ignore_errors=True)
        maker = [sys.executable, "-B", str(ROOT / "tests/tools/make_devices.py"), str(devices), str(folder), *options]
        subprocess.run(maker, check=True)
        stamp.write_text(" ".join(words))
    return folder


def spinners():
    """One idle-class process per core: halting virtual processors cost more than what is measured."""
    if not shutil.which("chrt"):
        print("chrt is missing: without spinners expect a spread of 15 to 45 %", file=sys.stderr)
        return []
    loop = ["chrt", "-i", "0", sys.executable, "-c", "while True: pass"]
    return [subprocess.Popen(loop) for _ in range(os.cpu_count() or 1)]


def stop(processes):
    for process in processes:
        process.kill()
        process.wait()


def measured(command):
    """Runs a command in a child of a child, so that the peak memory is its own."""
    code = (
        "import json, resource, subprocess, sys, time\n"
        "begun = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True)\n"
        "seconds = time.perf_counter() - begun\n"
        "use = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps({'code': done.returncode, 'seconds': seconds,\n"
        "  'cpu': use.ru_utime + use.ru_stime, 'peak_mib': use.ru_maxrss / 1024,\n"
        "  'out': done.stdout.decode('utf-8', 'replace')[-4000:], 'err': done.stderr.decode('utf-8', 'replace')[-4000:]}))\n"
    )
    out = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def line_of(command):
    """What a command says in its one line of JSON."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)

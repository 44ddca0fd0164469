#!/usr/bin/env python3
"""The measured goals, as ratios in one run: bench.py DEVICES [REPEATS]

Called by `cargo xtask bench`, which builds the programs first. Ours and the peer run interleaved, with one idle-class
spinner per core so that halting virtual processors do not decide the figures; medians of the ratios count. What is
computed is checked before any time counts. Results go to target/bench/result.json and to the terminal.
"""

import json
import resource
import shutil
import statistics
import sys

from bench_support import BIN, NOW, TENANT, WORK, data, line_of, measured, spinners, stop

PEER = """
import json, sys, time
pages = open(sys.argv[1], "rb").read().splitlines()
begun = time.perf_counter()
count = 0
for page in pages:
    count += len(json.loads(page)["value"])
print(json.dumps({"seconds": time.perf_counter() - begun, "devices": count}))
"""


def bench_map(repeats):
    devices = 50_000
    file = str(data(devices, "map") / "devices.ndjson")
    ratios, ours_rate = [], []
    for _ in range(repeats):
        ours = line_of([BIN / "stages", "map", file])
        peer = line_of([sys.executable, "-c", PEER, file])
        assert ours["devices"] == peer["devices"] == devices, (ours, peer)
        ratios.append(peer["seconds"] / ours["seconds"])
        ours_rate.append(ours["bytes"] / ours["seconds"] / 1e9)
    return {
        "what": "Graph JSON to mapped records, one core, against json.loads of the same bytes",
        "ratio": statistics.median(ratios), "spread": [min(ratios), max(ratios)],
        "gigabytes_per_second": statistics.median(ours_rate), "goal": "at least 5",
        "met": statistics.median(ratios) >= 5,
    }


def bench_join(devices, repeats):
    times = [line_of([BIN / "stages", "join", str(devices)])["seconds"] for _ in range(repeats)]
    return {
        "what": f"join of {devices:,} with {devices:,}, one core", "seconds": statistics.median(times),
        "spread": [min(times), max(times)], "goal": "at most 0.5 s for a million",
        "met": statistics.median(times) <= 0.5 * devices / 1_000_000,
    }


def config(folder, name):
    run = WORK / ("run-" + name)
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    text = f"""tenant_id = "{TENANT}"
[source]
kind = "file"
path = "{folder / 'devices.ndjson'}"
users = "{folder / 'users.json'}"
[directory]
kind = "ldif"
path = "{folder / 'directory.ldif'}"
base = "DC=contoso,DC=com"
[state]
path = "{run / 'state.db'}"
"""
    path = run / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path, run


def bench_plan(devices, name, options, expected, peak):
    folder = data(devices, name, *options)
    path, run = config(folder, name)
    out = run / "plan.json"
    result = measured([str(BIN / "device-writeback"), "plan", "--config", str(path), "--now", NOW,
                       "--out", str(out), "--quiet"])
    assert result["code"] in (0, 2), result
    with open(out, encoding="utf-8") as file:
        head = "".join(file.readline() for _ in range(2))
    actions = json.loads(head.rstrip().rstrip(",") + "}")["summary"]["actions"]
    changes = {action: count for action, count in actions.items() if count}
    assert changes == expected, (changes, expected)
    size = out.stat().st_size
    out.unlink()
    row = {
        "what": f"plan for {devices:,} devices, {name.replace('-', ' ')}", "peak_mib": result["peak_mib"],
        "seconds": result["seconds"], "cpu_seconds": result["cpu"], "plan_bytes": size,
    }
    if peak is None:
        row |= {"goal": "completes by spooling", "met": True}
    else:
        row |= {"goal": f"at most {peak} MB", "met": result["peak_mib"] * 1.048576 <= peak}
    return row


def main():
    devices = int(sys.argv[1])
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    WORK.mkdir(parents=True, exist_ok=True)
    changed = devices // 100
    data(50_000, "map")
    data(devices, "nothing-to-do")
    data(devices, "one-percent-changed", "--changed", "1")
    data(devices, "everything-new", "--directory", "empty")
    idle = spinners()
    rows = []
    try:
        rows.append(bench_map(repeats))
        rows.append(bench_join(devices, repeats))
    finally:
        stop(idle)
    rows.append(bench_plan(devices, "nothing-to-do", [], {}, 256))
    rows.append(bench_plan(devices, "one-percent-changed", ["--changed", "1"], {"update": changed}, 400))
    rows.append(bench_plan(devices, "everything-new", ["--directory", "empty"], {"create": devices}, None))
    (WORK / "result.json").write_text(json.dumps({"devices": devices, "rows": rows}, indent=1) + "\n")
    for row in rows:
        figures = ", ".join(
            f"{key} {value:.3g}" for key, value in row.items() if isinstance(value, float)
        )
        print(f"{'met   ' if row['met'] else 'MISSED'}  {row['what']}: {figures} (goal: {row['goal']})")
    print("peak of this script:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB", file=sys.stderr)


main()

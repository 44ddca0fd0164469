#!/usr/bin/env python3
"""Writing to a directory server, measured as ratios: bench_ldap.py [DEVICES] [--rounds N] [--only STAGE,...]

Called by `cargo xtask bench ldap`, which builds the programs first. Every program speaks TLS to the same OpenLDAP server
(Active Directory's schema and indexes, data in memory) and sends the same requests. In each round ours and the peers take
turns on a fresh server; the medians of the rounds' ratios count. The end state is checked, value by value, before any time
counts. One idle-class spinner per core keeps halting virtual processors from deciding the figures. Results go to
target/bench/ldap.json and to the terminal; a goal that is missed makes the exit code 1.

Stages: apply (add, modify, delete on one connection), network (the same through a proxy that delays), read (the paged
search), job (the whole job through the command line), share (the client's part
of the processor time against a Samba domain controller: needs root and Samba). Needs slapd, ldap-utils, openssl, and python-ldap for this Python.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

from bench_support import BIN, NOW, ROOT, TENANT, WORK, data, line_of, measured, spinners, stop
from ldap_peer import change_records, connect, devices_of, read_devices, records, swaps, wanted_devices

JOBS = ("add", "modify", "delete")
# Requests in flight on one connection, for everybody who has a window.
WINDOW = 128
# How many devices a client that waits for every answer gets to do, and ours, by round trip in milliseconds.
WAITING = {1: (3_000, 10_000, 10), 5: (600, 10_000, 35)}
PAGE = 999
PEER = str(ROOT / "tests/tools/ldap_peer.py")


class Lab:
    """A fresh server for as long as the `with` lasts."""

    def __init__(self, content=None):
        self.content = content

    def __enter__(self):
        command = [BIN / "openldap_lab", *([self.content] if self.content else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("{"):
            self.process.wait()
            raise SystemExit(f"the server does not start: {line}{self.process.stdout.read()}")
        self.settings = json.loads(line)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def words(self, url=None):
        s = self.settings
        return [url or s["ldaps_url"], s["ca_file"], s["bind_dn"], s["password"], s["base"]]

    def run(self, client, job, file, window, limit, url=None):
        """Seconds that a client took; every request must have had success."""
        command = {"python-ldap": [sys.executable, "-B", PEER]}.get(client, [BIN / client])
        result = line_of([*command, *self.words(url), job, str(file), str(window), str(limit)])
        if result["failed"] or job != "read" and result["count"] != limit:
            raise SystemExit(f"{client} did not {job} {limit} devices: {result}")
        return result["seconds"]

    def ldapmodify(self, file, url):
        s = self.settings
        begun = time.perf_counter()
        subprocess.run(["ldapmodify", "-x", "-H", url, "-D", s["bind_dn"], "-w", s["password"], "-f", str(file)],
                       env={"PATH": os.environ.get("PATH", os.defpath), "LDAPTLS_CACERT": s["ca_file"]},
                       check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun

    def connection(self):
        s = self.settings
        return connect(s["url"], s["ca_file"], s["bind_dn"], s["password"])

    def held(self):
        return {attributes["cn"][0]: comparable(attributes)
                for _, attributes in read_devices(self.connection(), self.settings["container"])}

    def check(self, expected, who):
        held = self.held()
        if held == expected:
            return
        for name in sorted(held.keys() | expected.keys()):
            if held.get(name) != expected.get(name):
                raise SystemExit(f"{who} left {len(held)} devices where {len(expected)} are expected; {name} is\n"
                                 f"{held.get(name)}\nand should be\n{expected.get(name)}")

    def operations(self):
        """How many operations of each kind the server has begun, this question not counted."""
        import ldap

        found = self.connection().search_s("cn=Operations,cn=Monitor", ldap.SCOPE_ONELEVEL, "(objectClass=*)",
                                           ["monitorOpInitiated"])
        counts = {dn.split(",")[0].removeprefix("cn=").lower(): int(attributes["monitorOpInitiated"][0])
                  for dn, attributes in found}
        counts["search"] -= 1
        return counts


class Proxy:
    """A way to the server that takes longer."""

    def __init__(self, url, microseconds):
        self.command = [BIN / "delay_proxy", url.rsplit(":", 1)[1], str(microseconds)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return f"ldaps://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def comparable(attributes):
    return {name: sorted(values) for name, values in attributes.items() if name != "objectGUID"}


def row(what, ratios, goal, seconds=None, **more):
    ratio = statistics.median(ratios)
    return {"what": what, "ratio": ratio, "spread": [min(ratios), max(ratios)], "goal": f"at least {goal:g}",
            "met": ratio >= goal, **({"seconds": statistics.median(seconds)} if seconds else {}), **more}


def simple_row(what, key, value, goal, most):
    return {"what": what, key: value, "goal": goal, "met": value <= most}


def in_turn(names, number):
    """Another program begins each round."""
    names = list(names)
    return names[number % len(names):] + names[:number % len(names)]


def bench_apply(devices, rounds, folder):
    """Add, modify and delete every device on one connection."""
    file = folder / "directory.ldif"
    added = {attributes["cn"][0]: comparable(attributes) for _, attributes in devices_of(file)}
    modified = {name: attributes | {key: [new] for key, _, new in swaps(attributes)}
                for name, attributes in added.items()}
    expected = dict(zip(JOBS, (added, modified, {}), strict=True))
    clients = ("ldap_apply", "ldap3_loop", "ldap_raw")
    times = {(client, job): [] for client in clients for job in JOBS}
    for number in range(rounds):
        for client in in_turn(clients, number):
            with Lab() as lab:
                for job in JOBS:
                    seconds = lab.run(client, job, file, WINDOW, devices)
                    lab.check(expected[job], client)
                    times[client, job].append(seconds)
    rows = []
    for peer, name, goal in (("ldap3_loop", "the bare ldap3 crate", 0.90), ("ldap_raw", "the server's ceiling", 0.85)):
        for job in JOBS:
            ours, theirs = times["ldap_apply", job], times[peer, job]
            rows.append(row(f"{job} {devices:,} devices, window {WINDOW}, against {name}",
                            [t / o for o, t in zip(ours, theirs, strict=True)], goal,
                            ours, peer_seconds=statistics.median(theirs),
                            per_second=devices / statistics.median(ours)))
    return rows


def bench_network(_devices, rounds, folder):
    """The same over a network, against the better of two clients that wait for every answer."""
    file = folder / "directory.ldif"
    rows = []
    for milliseconds, (few, many, goal) in WAITING.items():
        for job in JOBS:
            with open(WORK / f"{job}.ldif", "w", encoding="utf-8") as out:
                out.writelines(change_records(job, devices_of(file, few)))
        ratios = {job: [] for job in JOBS}
        rates = {job: [] for job in JOBS}
        for _ in range(rounds):
            best = dict.fromkeys(JOBS, 0.0)
            with Lab() as lab, Proxy(lab.settings["ldaps_url"], milliseconds * 500) as url:
                for job in JOBS:
                    best[job] = few / lab.ldapmodify(WORK / f"{job}.ldif", url)
                for job in JOBS:
                    best[job] = max(best[job], few / lab.run("python-ldap", job, file, 1, few, url))
                for job in JOBS:
                    rate = many / lab.run("ldap_apply", job, file, 256, many, url)
                    ratios[job].append(rate / best[job])
                    rates[job].append(rate)
                lab.check({}, "ldap_apply through the proxy")
        for job in JOBS:
            rows.append(row(f"{job} through {milliseconds} ms of round trip, against the best client that waits",
                            ratios[job], goal, per_second=statistics.median(rates[job])))
    return rows


def bench_read(devices, rounds, folder):
    """The paged search of every device."""
    full = WORK / "ldap-full.ldif"
    seed(folder / "directory.ldif", full, True)
    ratios, ours, theirs = [], [], []
    with Lab(full) as lab:
        count = len(lab.held())
        if count != devices:
            raise SystemExit(f"the server holds {count} devices and should hold {devices}")
        for number in range(rounds * 2):
            seconds = {}
            for client in in_turn(("ldap_apply", "ldap3_loop"), number):
                result = line_of([BIN / client, *lab.words(), "read", "-", "1"])
                if result["count"] != devices:
                    raise SystemExit(f"{client} read {result['count']} devices of {devices}")
                seconds[client] = (result["seconds"], result["bytes"])
            if seconds["ldap_apply"][1] != seconds["ldap3_loop"][1]:
                raise SystemExit(f"the two do not read the same values: {seconds}")
            ours.append(seconds["ldap_apply"][0])
            theirs.append(seconds["ldap3_loop"][0])
            ratios.append(theirs[-1] / ours[-1])
    return [row(f"read {devices:,} devices in pages of 1,000, against the bare ldap3 crate", ratios, 0.9, ours,
                peer_seconds=statistics.median(theirs))]


def seed(source, target, with_devices):
    """The domain with its people, its container and, if asked, its devices: what slapd's schema knows of the file."""
    from forest import ldif_entry

    with open(target, "w", encoding="utf-8") as out:
        for dn, attributes in records(source):
            is_device = b"msDS-Device" in attributes["objectClass"]
            if "CN=Configuration," not in dn and (with_devices or not is_device):
                out.write(ldif_entry(dn, list(attributes.items())))


def day_after(devices, folder):
    """The same tenant a day later, as Graph answers: 1 % new, 1 % gone, 5 % changed. What has changed is counted."""
    more = data(devices + devices // 100, "ldap-more", "--directory", "empty")
    path = WORK / "day-after.ndjson"
    counts = {"new": 0, "gone": 0, "changed": 0}
    kept = []
    number = 0
    with open(more / "devices.ndjson", "rb") as file:
        for line in file:
            for device in json.loads(line)["value"]:
                if number >= devices:
                    counts["new"] += 1
                elif number % 100 == 0:
                    counts["gone"] += 1
                    device = None
                elif number % 20 == 1:
                    counts["changed"] += 1
                    device["accountEnabled"] = not device["accountEnabled"]
                    device["operatingSystemVersion"] = "10.0.99999.1"
                if device is not None:
                    kept.append(device)
                number += 1
    with open(path, "w", encoding="utf-8") as out:
        for start in range(0, len(kept), PAGE):
            page = {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#devices"}
            if start + PAGE < len(kept):
                page["@odata.nextLink"] = f"https://graph.microsoft.com/v1.0/devices?$skiptoken={start + PAGE}"
            page["value"] = kept[start:start + PAGE]
            out.write(json.dumps(page, ensure_ascii=False, separators=(",", ":")) + "\n")
    return path, counts


def command_line(lab, run, devices, users):
    """How the product is called; the state stays in the folder `run`."""
    s = lab.settings
    run.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("password", s["password"]),
        ("config.toml", f"""tenant_id = "{TENANT}"
[source]
kind = "file"
path = "{devices}"
users = "{users}"
[directory]
kind = "ldap"
urls = ["{s['ldaps_url']}"]
bind_dn = "{s['bind_dn']}"
password_file = "password"
ca_file = "{s['ca_file']}"
base = "{s['base']}"
container = "{s['container']}"
[limits]
max_retirements = 1000000
[state]
path = "state.db"
"""),
    ):
        (run / name).write_text(text)
        (run / name).chmod(0o600)
    return [str(BIN / "device-writeback"), "sync", "--config", str(run / "config.toml"), "--now", NOW, "--quiet"]


def bench_job(devices, rounds, folder):
    """First fill, nothing to do and a day's changes: the whole job, with its start, from file to directory."""
    empty = WORK / "ldap-empty.ldif"
    seed(folder / "directory.ldif", empty, False)
    users = folder / "users.json"
    later, changes = day_after(devices, folder)
    names = {"first fill": folder / "devices.ndjson", "nothing to do": folder / "devices.ndjson", "delta": later}
    states = {file: {attributes["cn"][0]: comparable(attributes)
                     for attributes in wanted_devices(file, users).values()} for file in set(names.values())}
    truth = {attributes["cn"][0]: comparable(attributes) for _, attributes in devices_of(folder / "directory.ldif")}
    if states[folder / "devices.ndjson"] != truth:
        raise SystemExit("the peer does not map devices as the generated directory has them")
    clients = ("ours", "python-ldap 1", "python-ldap 32")
    times = {(client, name): [] for client in clients for name in names}
    peak, cpu, operations = 0.0, {name: [] for name in names}, {name: [] for name in names}
    for number in range(rounds):
        for client in in_turn(clients, number):
            run = WORK / "run-ldap"
            shutil.rmtree(run, ignore_errors=True)
            with Lab(empty) as lab:
                for name, file in names.items():
                    before = lab.operations()
                    if client == "ours":
                        command = command_line(lab, run, file, users)
                    else:
                        command = [sys.executable, "-B", PEER, *lab.words(), "sync", str(file), str(users),
                                   client.split()[1]]
                    result = measured(command)
                    after = lab.operations()
                    if result["code"] != 0:
                        raise SystemExit(f"{client}, {name}: {result}")
                    lab.check(states[file], f"{client}, {name},")
                    times[client, name].append(result["seconds"])
                    if client == "ours":
                        peak = max(peak, result["peak_mib"] * 1.048576)
                        cpu[name].append(result["cpu"])
                        operations[name].append({key: after[key] - before[key] for key in (*JOBS, "search")})
    rows = []
    for name, goal in (("nothing to do", 5), ("delta", 4), ("first fill", 1.3)):
        ours = times["ours", name]
        best = [min(pair) for pair in zip(*(times[client, name] for client in clients[1:]), strict=True)]
        figures = {f"seconds_of_{client}": statistics.median(times[client, name]) for client in clients[1:]}
        figures["cpu_seconds"] = statistics.median(cpu[name])
        rows.append(row(f"whole job, {devices:,} devices, {name}, against the best Python peer",
                        [b / o for o, b in zip(ours, best, strict=True)], goal, ours, **figures))
    rows.append(simple_row("whole job, highest peak memory in megabytes", "megabytes", peak, "at most 85", 85))
    idle = max(sum(counts[job] for job in JOBS) for counts in operations["nothing to do"])
    rows.append(simple_row("writes that reach the server when there is nothing to do", "writes", idle, "exactly 0", 0))
    # Pages, the people's SIDs by the hundred, and a few questions at the start are not one per object.
    allowed = devices // 1_000 + 20_000 // 100 + 100
    changed = sum(changes.values()) - changes["new"]
    for name, most in (("nothing to do", allowed), ("first fill", allowed), ("delta", allowed + 3 * changed)):
        searches = max(counts["search"] for counts in operations[name])
        rows.append(simple_row(f"searches that reach the server, {name}", "searches", searches,
                               "none per object" if name != "delta" else "only of objects that are changed", most))
    return rows


def bench_share(_devices, _rounds, _folder):
    """What share of the processor time the client has where the server is a real domain controller (Samba): its CPU is the
    limit there, whatever the client does."""
    devices = 2_000
    folder = data(devices, "ldap-share", "--directory", "empty")
    process = subprocess.Popen([BIN / "samba_lab"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if not line.startswith("{"):
            raise SystemExit(f"the domain controller does not start: {line}{process.stdout.read()}")

        def used():
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        lab = SimpleNamespace(settings=json.loads(line))
        run = WORK / "run-share"
        shutil.rmtree(run, ignore_errors=True)
        command = command_line(lab, run, folder / "devices.ndjson", folder / "users.json")
        before = used()
        result = measured(command)
        server = used() - before
        if result["code"] != 0:
            raise SystemExit(f"the first fill of a domain controller: {result}")
    finally:
        process.stdin.close()
        process.wait()
    share = 100 * result["cpu"] / (result["cpu"] + server)
    return [simple_row(f"first fill of a Samba domain controller, {devices:,} devices: the client's share of the processor time in percent",
                       "percent", share, "at most 5", 5)]


STAGES = {"apply": bench_apply, "network": bench_network, "read": bench_read, "job": bench_job, "share": bench_share}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("devices", metavar="DEVICES", type=int, nargs="?", default=50_000)
    parser.add_argument("--rounds", metavar="N", type=int, default=5)
    parser.add_argument("--only", metavar="STAGE,...", default=",".join(STAGES))
    options = parser.parse_args()
    stages = options.only.split(",")
    if options.devices < 10_000 or options.rounds < 1 or not set(stages) <= STAGES.keys():
        parser.error(f"DEVICES is at least 10000, N at least 1, a STAGE one of {', '.join(STAGES)}")
    WORK.mkdir(parents=True, exist_ok=True)
    folder = data(options.devices, "ldap")
    idle = spinners()
    rows = []
    try:
        for stage in stages:
            for result in STAGES[stage](options.devices, options.rounds, folder):
                rows.append(result)
                print(told(result), flush=True)
    finally:
        stop(idle)
    (WORK / "ldap.json").write_text(json.dumps({"devices": options.devices, "rounds": options.rounds, "rows": rows},
                                               indent=1) + "\n")
    missed = sum(not result["met"] for result in rows)
    print(f"{len(rows)} goals, {missed} missed")
    return 1 if missed else 0


def told(result):
    figures = []
    for key, value in result.items():
        if key == "ratio":
            low, high = result["spread"]
            figures.append(f"{value:.3g} times ({low:.3g} to {high:.3g})")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            figures.append(f"{key.replace('_', ' ')} {value:.4g}")
    return f"{'met   ' if result['met'] else 'MISSED'}  {result['what']}: {', '.join(figures)} (goal: {result['goal']})"


if __name__ == "__main__":
    sys.exit(main())

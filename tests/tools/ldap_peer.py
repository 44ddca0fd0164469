#!/usr/bin/env python3
"""The peer of the LDAP benchmark: the whole job as a careful administrator would script it with python-ldap.

    ldap_peer.py URL CA_FILE BIND_DN PASSWORD BASE sync DEVICES.NDJSON USERS.JSON WINDOW
    ldap_peer.py URL CA_FILE BIND_DN PASSWORD BASE add|modify|delete ENTRIES.LDIF WINDOW [LIMIT]

`sync` reads the devices and the people, reads the container by paged search, maps, compares, and sends the difference.
The other words send the requests that every client of the benchmark sends. WINDOW 1 waits for each answer, as scripts
do; 32 is what Python can do best on one connection. Prints one line of JSON. Needs python-ldap (Debian: python3-ldap).
"""

import json
import sys
import time
from base64 import b64decode, b64encode
from datetime import datetime
from uuid import UUID

from directory_forms import FILETIME_EPOCH, sid_bytes

PAGE = 1_000
FILTER = "(objectClass=msDS-Device)"
TRUST = {"Workplace": b"0", "AzureAd": b"1", "ServerAd": b"2"}
DAY = 864_000_000_000


def records(path):
    """The content records of an LDIF file, as (DN, {name: values})."""
    dn, attributes = None, {}
    for line in unfolded(path):
        if not line:
            if dn is not None:
                yield dn, attributes
            dn, attributes = None, {}
        elif not line.startswith((b"#", b"version:")):
            name, _, value = line.partition(b":")
            value = b64decode(value[1:]) if value.startswith(b":") else value.removeprefix(b" ")
            if name == b"dn":
                dn = value.decode()
            else:
                attributes.setdefault(name.decode(), []).append(value)
    if dn is not None:
        yield dn, attributes


def unfolded(path):
    with open(path, "rb") as file:
        held = None
        for line in file:
            line = line.rstrip(b"\r\n")
            if line.startswith(b" ") and held is not None:
                held += line[1:]
            else:
                if held is not None:
                    yield held
                held = line
        if held is not None:
            yield held


def devices_of(path, limit=None):
    """The devices of an LDIF file without the `objectGUID`, which is the server's to give."""
    count = 0
    for dn, attributes in records(path):
        if b"msDS-Device" in attributes["objectClass"]:
            if count == limit:
                return
            count += 1
            attributes.pop("objectGUID", None)
            yield dn, attributes


def swaps(attributes):
    """What a modify changes, as (name, old, new)."""
    enabled, seen = attributes["msDS-IsEnabled"][0], attributes["msDS-ApproximateLastLogonTimeStamp"][0]
    return [("msDS-IsEnabled", enabled, b"FALSE" if enabled == b"TRUE" else b"TRUE"),
            ("msDS-ApproximateLastLogonTimeStamp", seen, b"%d" % (int(seen) + DAY))]


def change_records(job, entries):
    """The same requests as LDIF, for `ldapmodify`."""
    def line(name, value):
        if value.isascii() and all(32 <= octet < 127 for octet in value) and value[:1] not in (b" ", b":", b"<"):
            return f"{name}: {value.decode()}\n"
        return f"{name}:: {b64encode(value).decode()}\n"

    for dn, attributes in entries:
        text = f"dn: {dn}\nchangetype: {job}\n"
        if job == "add":
            text += "".join(line(name, value) for name, values in attributes.items() for value in values)
        elif job == "modify":
            for name, old, new in swaps(attributes):
                text += f"delete: {name}\n{line(name, old)}-\nadd: {name}\n{line(name, new)}-\n"
        yield text + "\n"


def seconds(text):
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def flag(value):
    return b"TRUE" if value else b"FALSE"


def wanted(device, sids):
    """The attributes of a device as the rules' profile `adfs` writes them."""
    device_id = UUID(device["deviceId"])
    values = {
        "objectClass": [b"top", b"msDS-Device"],
        "cn": [str(device_id).encode()],
        "displayName": [device["displayName"].encode()],
        "altSecurityIdentities": [b64decode(alternative["key"]).decode("utf-16-le").encode()
                                  for alternative in device["alternativeSecurityIds"] if alternative["type"] == 2],
        "msDS-DeviceID": [device_id.bytes_le],
        "msDS-IsEnabled": [flag(device["accountEnabled"])],
        "msDS-DeviceOSType": [device["operatingSystem"].encode()],
        "msDS-DeviceOSVersion": [device["operatingSystemVersion"].encode()],
        "msDS-DeviceObjectVersion": [b"%d" % device["deviceVersion"]],
        "msDS-DeviceTrustType": [TRUST[device["trustType"]]],
        "msDS-DevicePhysicalIDs": [text.encode() for text in device["physicalIds"]],
        "msDS-CloudAnchor": [b"Device_" + device["id"].encode()],
        "msDS-ApproximateLastLogonTimeStamp": [
            b"%d" % ((seconds(device["approximateLastSignInDateTime"]) + FILETIME_EPOCH) * 10_000_000)],
    }
    if device["isManaged"] is not None:
        values["msDS-IsManaged"] = values["msDS-CloudIsManaged"] = [flag(device["isManaged"])]
    if device["isCompliant"] is not None:
        values["msDS-IsCompliant"] = [flag(device["isCompliant"])]
    if device["onPremisesSecurityIdentifier"] is not None:
        values["msDS-ComputerSID"] = [sid_bytes(device["onPremisesSecurityIdentifier"])]
    owners = [sids[owner["id"]] for owner in device["registeredOwners"]]
    if owners:
        values["msDS-RegisteredOwner"] = owners[:1]
    users = [sids[user["id"]] for user in device["registeredUsers"]]
    if users:
        values["msDS-RegisteredUsers"] = users
    return values


def wanted_devices(devices, users):
    """What the directory should hold, by device id."""
    with open(users, encoding="utf-8") as file:
        sids = {user["id"]: user["onPremisesSecurityIdentifier"].encode() for user in json.load(file)["value"]}
    with open(devices, "rb") as file:
        return {device["deviceId"]: wanted(device, sids) for page in file for device in json.loads(page)["value"]}


def connect(url, ca_file, bind_dn, password):
    import ldap

    connection = ldap.initialize(url)
    connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
    if url.startswith("ldaps:"):
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, ca_file)
        connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
    connection.simple_bind_s(bind_dn, password)
    return connection


def read_devices(connection, container):
    """Every device directly under the container, as (DN, {name: values})."""
    import ldap
    from ldap.controls import SimplePagedResultsControl

    page = SimplePagedResultsControl(True, size=PAGE, cookie="")
    while True:
        number = connection.search_ext(container, ldap.SCOPE_ONELEVEL, FILTER, serverctrls=[page])
        _, found, _, controls = connection.result3(number)
        yield from found
        page.cookie = next(c.cookie for c in controls if c.controlType == SimplePagedResultsControl.controlType)
        if not page.cookie:
            return


def send(connection, jobs, window):
    """Sends (function, arguments...) with at most `window` without an answer; how many were refused."""
    import ldap

    waiting, in_flight, failed = iter(jobs), 0, 0
    more = True
    while more or in_flight:
        while more and in_flight < window:
            job = next(waiting, None)
            if job is None:
                more = False
                break
            job[0](*job[1:])
            in_flight += 1
        if in_flight:
            try:
                connection.result(ldap.RES_ANY, 0)
            except ldap.LDAPError as error:
                if not failed:
                    print(error, file=sys.stderr)
                failed += 1
            in_flight -= 1
    return failed


def sync(connection, container, devices, users, window):
    import ldap

    begun = time.perf_counter()
    want = wanted_devices(devices, users)
    mapped = time.perf_counter()
    have = {attributes["cn"][0].decode(): (dn, attributes) for dn, attributes in read_devices(connection, container)}
    adds, changes, deletes = [], [], []
    for device_id, values in want.items():
        found = have.get(device_id)
        if found is None:
            adds.append((connection.add_ext, f"CN={device_id},{container}", list(values.items())))
            continue
        dn, attributes = found
        changed = [(ldap.MOD_REPLACE, name, new) for name, new in values.items()
                   if sorted(attributes.get(name, [])) != sorted(new)]
        if changed:
            changes.append((connection.modify_ext, dn, changed))
    for device_id, (dn, attributes) in have.items():
        if device_id not in want and "msDS-CloudAnchor" in attributes:
            deletes.append((connection.delete_ext, dn))
    compared = time.perf_counter()
    failed = send(connection, adds + changes + deletes, window)
    return {"client": "python-ldap", "window": window, "add": len(adds), "modify": len(changes),
            "delete": len(deletes), "failed": failed, "map": mapped - begun, "read": compared - mapped,
            "apply": time.perf_counter() - compared}


def apply(connection, job, file, window, limit):
    import ldap

    def request(dn, attributes):
        if job == "add":
            return connection.add_ext, dn, list(attributes.items())
        if job == "delete":
            return connection.delete_ext, dn
        changes = []
        for name, old, new in swaps(attributes):
            changes += [(ldap.MOD_DELETE, name, [old]), (ldap.MOD_ADD, name, [new])]
        return connection.modify_ext, dn, changes

    jobs = [request(dn, attributes) for dn, attributes in devices_of(file, limit)]
    begun = time.perf_counter()
    failed = send(connection, jobs, window)
    return {"client": "python-ldap", "window": window, "job": job, "count": len(jobs), "failed": failed,
            "seconds": time.perf_counter() - begun}


def main():
    url, ca_file, bind_dn, password, base, job, *rest = sys.argv[1:]
    container = f"CN=RegisteredDevices,{base}"
    connection = connect(url, ca_file, bind_dn, password)
    if job == "sync":
        devices, users, window = rest
        result = sync(connection, container, devices, users, int(window))
    else:
        file, window, *limit = rest
        result = apply(connection, job, file, int(window), int(limit[0]) if limit else None)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

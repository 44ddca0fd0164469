#!/usr/bin/env python3
"""Make a tenant of any size and a directory to go with it, for benchmarks and load tests.

    make_devices.py N OUTDIR [--changed PERCENT] [--directory full|empty] [--users COUNT]

Writes to OUTDIR
  devices.ndjson   N devices as Graph answers them: one page of 999 a line, owners expanded
  users.json       the people, all with an on-premises SID (20,000 unless --users)
  directory.ldif   the prepared domain with these people and, unless --directory empty, the same
                   N devices as the profile `adfs` writes them: nothing would have to change.
                   With --changed, msDS-DeviceOSVersion differs in PERCENT of them, evenly spread

Every device follows from its number alone: the same arguments give the same bytes, and the
first devices are the same whatever N is. Memory does not depend on N. Two processes, one per large file.
The data is about 2026-06-01T08:00:00Z. Standard library only.
"""

import argparse
import json
import multiprocessing
import os
import struct
from base64 import b64encode
from datetime import date, timedelta
from hashlib import blake2b, sha1, sha256

from directory_forms import FILETIME_EPOCH, SHA1_PREFIX, guid, parse_time, sid_bytes
from forest import prepared_forest

SEED = "load"
NOW = "2026-06-01T08:00:00Z"
BASE = "DC=contoso,DC=com"
CONTAINER = f"CN=RegisteredDevices,{BASE}"
DOMAIN_SID = "S-1-5-21-1463870531-2902573317-874120969"
TENANT_ID = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"
PAGE = 999
FIRST_RID = 1_000
FIRST_COMPUTER_RID = 1_000_000
CONTEXT = "https://graph.microsoft.com/v1.0/$metadata#devices(registeredOwners(),registeredUsers())"

# operatingSystem, version, the version before, manufacturer, model, trustType, isCompliant, isManaged
KINDS = [
    ("Windows", "10.0.26100.4061", "10.0.22631.5189", "Contoso Computers", "Book 14", "AzureAd", True, True),
    ("Windows", "10.0.26100.4061", "10.0.22631.5189", "Contoso Computers", "Tower 3", "ServerAd", None, None),
    ("IPhone", "18.5", "18.4.1", "Apple", "iPhone 15", "Workplace", None, False),
    ("Windows", "10.0.22631.5335", "10.0.19045.5854", "Contoso Computers", "Book 15", "AzureAd", False, True),
    ("Android", "15", "14", "Google", "Pixel 9", "Workplace", True, True),
    ("Windows", "10.0.26100.4061", "10.0.22631.5189", "Contoso Computers", "Tower 4", "ServerAd", True, True),
    ("MacMDM", "15.5.0", "15.4.1", "Apple", "MacBook Air", "AzureAd", True, True),
    ("Windows", "10.0.26100.4061", "10.0.22631.5189", "Contoso Computers", "Book 13", "AzureAd", None, None),
]
TRUST_NUMBERS = {"Workplace": "0", "AzureAd": "1", "ServerAd": "2"}


class Device:
    """One device. Everything is drawn from a digest of its number."""

    __slots__ = ("number", "octets", "kind", "owner", "second", "name", "signed_in", "alternative",
                 "device_id", "object_id", "group")

    def __init__(self, number, users, midnight):
        octets = blake2b(b"device/%d" % number, digest_size=64).digest()
        text = octets.hex()
        self.number = number
        self.octets = octets
        self.device_id = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"
        self.object_id = f"{text[32:40]}-{text[40:44]}-4{text[45:48]}-b{text[49:52]}-{text[52:64]}"
        draw, seconds, self.group = struct.unpack_from("<QII", octets, 48)
        self.kind = draw & 7
        person = draw >> 3
        # 1 in 32 has no owner, 1 in 64 a second user.
        self.owner = None if person & 31 == 0 else (person >> 6) % users
        self.second = (person >> 6) * 7 % users if person & 63 == 1 else None
        if self.second == self.owner:
            self.second = None
        tag = text[100:107].upper()
        self.name = f"Büro-Gerät {tag}" if number % 50 == 7 else f"DESKTOP-{tag}"
        # Seen in the last 60 days: nothing is stale.
        self.signed_in = midnight - 1 - seconds % (60 * 86_400)
        self.alternative = (
            SHA1_PREFIX + sha1(octets).hexdigest().upper() + b64encode(sha256(octets).digest()).decode()
        )

    def guid_octets(self):
        """`msDS-DeviceID`: the first three fields of the GUID little-endian."""
        o = self.octets
        return bytes((o[3], o[2], o[1], o[0], o[5], o[4], o[7], o[6] & 15 | 64, o[8] & 15 | 160)) + o[9:16]


def physical_ids(group):
    return f"[HWID]:h:{group}", f"[GID]:g:{group}", f"[OrderId]:{group % 97}"


def json_value(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def device_templates():
    """For each kind a text with the places of what differs from device to device."""
    templates = []
    for os_name, version, _, maker, model, trust, compliant, managed in KINDS:
        hybrid = trust == "ServerAd"
        members = {
            "id": "%(object_id)s",
            "deletedDateTime": None,
            "accountEnabled": True,
            "approximateLastSignInDateTime": "%(signed_in)s",
            "complianceExpirationDateTime": None,
            "createdDateTime": "2025-02-11T07:30:05Z",
            "deviceCategory": None,
            "deviceId": "%(device_id)s",
            "deviceMetadata": None,
            "deviceOwnership": "Personal" if trust == "Workplace" else "Company",
            "deviceVersion": 2,
            "displayName": "%(name)s",
            "domainName": None,
            "enrollmentProfileName": None,
            "enrollmentType": None,
            "externalSourceName": None,
            "isCompliant": compliant,
            "isManaged": managed,
            "isRooted": None,
            "managementType": "MDM" if managed else None,
            "manufacturer": maker,
            "mdmAppId": "0000000a-0000-0000-c000-000000000000" if managed else None,
            "model": model,
            "onPremisesLastSyncDateTime": "2026-05-31T22:15:04Z" if hybrid else None,
            "onPremisesSecurityIdentifier":
                f"{DOMAIN_SID}-%(computer)d" if hybrid else None,
            "onPremisesSyncEnabled": True if hybrid else None,
            "operatingSystem": os_name,
            "operatingSystemVersion": version,
            "physicalIds": ["%(hwid)s", "%(gid)s", "%(order)s"],
            "profileType": "RegisteredDevice",
            "registrationDateTime": "2025-02-11T07:30:05Z",
            "sourceType": None,
            "systemLabels": [],
            "trustType": trust,
            "extensionAttributes": {f"extensionAttribute{n}": None for n in range(1, 16)},
            "alternativeSecurityIds": [{"type": 2, "identityProvider": None, "key": "%(key)s"}],
        }
        templates.append(json_value(members)[:-1]
                         + ',"registeredOwners":[%(owners)s],"registeredUsers":[%(users)s]}')
    return templates


def write_devices(path, count, users, midnight, seed_ids):
    templates = device_templates()
    days = {}
    person = '{"@odata.type":"#microsoft.graph.user","id":"%s"}'
    with open(path, "wb", buffering=1 << 20) as file:
        for start in range(0, count, PAGE):
            rows = []
            for number in range(start, min(start + PAGE, count)):
                device = Device(number, users, midnight)
                day, second = divmod(device.signed_in, 86_400)
                if day not in days:
                    days[day] = date_text(day)
                hwid, gid, order = physical_ids(device.group)
                owners = "" if device.owner is None else person % seed_ids[device.owner]
                others = "" if device.second is None else person % seed_ids[device.second]
                rows.append(templates[device.kind] % {
                    "object_id": device.object_id,
                    "device_id": device.device_id,
                    "signed_in": f"{days[day]}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z",
                    "name": device.name,
                    "computer": FIRST_COMPUTER_RID + number,
                    "hwid": hwid,
                    "gid": gid,
                    "order": order,
                    "key": b64encode(device.alternative.encode("utf-16-le")).decode(),
                    "owners": owners,
                    "users": owners + ("," if owners and others else "") + others,
                })
            link = ""
            if start + PAGE < count:
                link = ('"@odata.nextLink":"https://graph.microsoft.com/v1.0/devices?$top=999&'
                        f'$skiptoken={start + PAGE:012}",')
            page = f'{{"@odata.context":"{CONTEXT}",{link}"value":[' + ",".join(rows) + "]}\n"
            file.write(page.encode())
        if count == 0:
            file.write(f'{{"@odata.context":"{CONTEXT}","value":[]}}\n'.encode())


def date_text(day):
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def entry_templates():
    """For each kind the attributes that are the same for all its devices, version left open."""
    templates = []
    for os_name, version, before, _, _, trust, compliant, managed in KINDS:
        fixed = []
        if managed is not None:
            word = "TRUE" if managed else "FALSE"
            fixed += [f"msDS-IsManaged: {word}\n", f"msDS-CloudIsManaged: {word}\n"]
        if compliant is not None:
            fixed.append(f"msDS-IsCompliant: {'TRUE' if compliant else 'FALSE'}\n")
        fixed += [
            f"msDS-DeviceOSType: {os_name}\n",
            "msDS-DeviceObjectVersion: 2\n",
            f"msDS-DeviceTrustType: {TRUST_NUMBERS[trust]}\n",
        ]
        templates.append(("".join(fixed), version, before, trust == "ServerAd"))
    return templates


def write_directory(path, count, users, midnight, changed, full):
    templates = entry_templates()
    sids = [f"{DOMAIN_SID}-{FIRST_RID + user}" for user in range(users)]
    computer_head = sid_bytes(f"{DOMAIN_SID}-0")[:-4]
    people = (
        (str(user), f"User {user:05}", FIRST_RID + user, f"user{user:05}", []) for user in range(users)
    )
    with open(path, "wb", buffering=1 << 20) as file:
        file.write(b"version: 1\n\n")
        for entry in prepared_forest(SEED, BASE, DOMAIN_SID, TENANT_ID, CONTAINER, people):
            file.write(entry.encode())
        for number in range(count if full else 0):
            device = Device(number, users, midnight)
            fixed, version, before, hybrid = templates[device.kind]
            if int((number + 1) * changed / 100) > int(number * changed / 100):
                version = before
            name = device.name
            if name.isascii():
                name = "displayName: " + name
            else:
                name = "displayName:: " + b64encode(name.encode()).decode()
            hwid, gid, order = physical_ids(device.group)
            optional = ""
            if device.owner is not None:
                optional = (f"msDS-RegisteredOwner: {sids[device.owner]}\n"
                            f"msDS-RegisteredUsers: {sids[device.owner]}\n")
            if device.second is not None:
                optional += f"msDS-RegisteredUsers: {sids[device.second]}\n"
            if hybrid:
                sid = computer_head + struct.pack("<I", FIRST_COMPUTER_RID + number)
                optional += f"msDS-ComputerSID:: {b64encode(sid).decode()}\n"
            anchor = b64encode(b"Device_" + device.object_id.encode()).decode()
            file.write((
                f"dn: CN={device.device_id},{CONTAINER}\n"
                "objectClass: top\nobjectClass: msDS-Device\n"
                f"cn: {device.device_id}\n{name}\n"
                f"altSecurityIdentities: {device.alternative}\n"
                f"msDS-DeviceID:: {b64encode(device.guid_octets()).decode()}\n"
                "msDS-IsEnabled: TRUE\n"
                f"{fixed}msDS-DeviceOSVersion: {version}\n"
                f"msDS-DevicePhysicalIDs: {hwid}\n"
                f"msDS-DevicePhysicalIDs: {gid}\n"
                f"msDS-DevicePhysicalIDs: {order}\n"
                f"msDS-CloudAnchor:: {anchor}\n{optional}"
                "msDS-ApproximateLastLogonTimeStamp: "
                f"{(device.signed_in + FILETIME_EPOCH) * 10_000_000}\n"
                f"objectGUID:: {b64encode(sha1(device.octets).digest()[:16]).decode()}\n\n"
            ).encode())


def user_ids(users):
    return [guid(SEED, f"user/{user}") for user in range(users)]


def write_users(path, ids):
    rows = ",\n".join(
        json_value({
            "id": ids[user],
            "displayName": f"User {user:05}",
            "userPrincipalName": f"user{user:05}@contoso.com",
            "onPremisesSecurityIdentifier": f"{DOMAIN_SID}-{FIRST_RID + user}",
        })
        for user in range(len(ids))
    )
    with open(path, "wb") as file:
        file.write(('{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#users","value":[\n'
                    + rows + "\n]}\n").encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("count", metavar="N", type=int)
    parser.add_argument("outdir", metavar="OUTDIR")
    parser.add_argument("--changed", metavar="PERCENT", type=float, default=0.0)
    parser.add_argument("--directory", choices=("full", "empty"), default="full")
    parser.add_argument("--users", metavar="COUNT", type=int, default=20_000)
    options = parser.parse_args()
    if options.count < 0 or options.users < 1 or not 0 <= options.changed <= 100:
        parser.error("N is at least 0, COUNT at least 1, PERCENT between 0 and 100")
    os.makedirs(options.outdir, exist_ok=True)

    def to(name):
        return os.path.join(options.outdir, name)

    midnight = int(parse_time(NOW).timestamp()) // 86_400 * 86_400
    directory = multiprocessing.Process(target=write_directory, args=(
        to("directory.ldif"), options.count, options.users, midnight, options.changed,
        options.directory == "full"))
    directory.start()
    ids = user_ids(options.users)
    write_users(to("users.json"), ids)
    write_devices(to("devices.ndjson"), options.count, options.users, midnight, ids)
    directory.join()
    if directory.exitcode:
        raise SystemExit("directory.ldif could not be written")


if __name__ == "__main__":
    main()

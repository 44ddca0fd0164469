"""The people and devices of the quickstart, and what the profile `adfs` makes of a device.

`quickstart_cases.py` says which devices there are and what each is there to show.
"""

import base64
import uuid
from datetime import timedelta

from directory_forms import (
    TRUST_TYPES,
    alternative_id,
    alternative_key,
    digest,
    filetime,
    guid,
    guid_bytes,
    key_credential,
    parse_time,
    print_time,
    rsa_material,
    security_descriptor,
    sid_bytes,
)

SEED = "quickstart"
NOW = "2026-06-01T08:00:00Z"
BASE = "DC=contoso,DC=com"
CONTAINER = f"CN=RegisteredDevices,{BASE}"
DOMAIN_SID = "S-1-5-21-1463870531-2902573317-874120969"
FOREIGN_SID = "S-1-5-21-3071955222-1120348745-2650073914"
TENANT_ID = "6babcaad-604b-40ac-a9d7-9fd97c0b779f"
UNKNOWN = object()  # the member is absent from Graph's answer

# key, display name, RID or SID or None (cloud-only) or UNKNOWN, sAMAccountName in the forest or None
USERS = [
    ("mia", "Mia Müller", 1104, "mia.mueller"),
    ("kenji", "佐藤 健二", 1105, "kenji.sato"),
    ("sofia", "Sofía Núñez", 1106, "sofia.nunez"),
    ("omar", "Omar Haddad", 1107, "omar.haddad"),
    ("lena", "Lena Øster", 1108, "lena.oster"),
    ("priya", "Priya Raman", 1109, "priya.raman"),
    ("alex", "Alex Admin", 1110, "alex.admin"),  # adminCount 1
    ("administrator", "Administrator", 500, "Administrator"),
    ("gina", "Gina Gone", 1199, None),  # synchronised once, no longer in the forest
    ("casey", "Casey Cloud", None, None),
    ("robin", "Robin Cloud", None, None),
    ("pat", "Pat Partner", f"{FOREIGN_SID}-1188", None),
    ("noor", "Noor Hidden", UNKNOWN, None),
]
USER_IDS = {key: guid(SEED, f"user/{key}") for key, *_ in USERS}
USER_IDS["stranger"] = guid(SEED, "user/stranger")  # not in users.json

# What a user may stand for in the directory: in this domain, there, RID >= 1000, not protected.
USER_SIDS = {
    key: f"{DOMAIN_SID}-{rid}"
    for key, _, rid, account in USERS
    if isinstance(rid, int) and rid >= 1000 and account and key != "alex"
}

SYSTEMS = {
    "Windows": ("10.0.26100.4061", "Contoso Computers", "Book 14"),
    "IPhone": ("18.5", "Apple", "iPhone 15"),
    "Android": ("15", "Google", "Pixel 9"),
    "MacMDM": ("15.5.0", "Apple", "MacBook Air"),
    "Linux": ("24.04", "Contoso Computers", "Tower 3"),
}


def alternative_ids(slug, count=1):
    return [
        alternative_id(digest(SEED, f"{slug}/cert/{n}")[:20], digest(SEED, f"{slug}/key/{n}"))
        for n in range(count)
    ]


def type_two(values):
    return [
        {"type": 2, "identityProvider": None, "key": alternative_key(value)} for value in values
    ]


def graph_device(slug, name, *, os_name="Windows", trust="AzureAd", certificates=1, owner="mia",
                 users=None, signed_in=None, **members):
    """One device as `GET /devices` prints it. `members` override; UNKNOWN removes a member."""
    version, maker, model = SYSTEMS[os_name]
    draw = digest(SEED, f"{slug}/draw")
    if signed_in is None:
        signed_in = 1 + draw[0] % 60
    last = parse_time(NOW) - timedelta(days=signed_in, seconds=draw[1] * 256 + draw[2])
    enrolled = parse_time("2024-01-08T06:00:00Z") + timedelta(days=draw[3], seconds=draw[4] * 300)
    hybrid = trust == "ServerAd"
    group = str(1_000_000_000_000_000 + int.from_bytes(draw[5:11], "big"))
    values = {
        "id": guid(SEED, f"{slug}/object"),
        "deletedDateTime": None,
        "accountEnabled": True,
        "approximateLastSignInDateTime": print_time(last),
        "complianceExpirationDateTime": None,
        "createdDateTime": print_time(enrolled),
        "deviceCategory": None,
        "deviceId": guid(SEED, f"{slug}/device"),
        "deviceMetadata": None,
        "deviceOwnership": "Personal" if trust == "Workplace" else "Company",
        "deviceVersion": 2,
        "displayName": name,
        "domainName": None,
        "enrollmentProfileName": None,
        "enrollmentType": None if trust == "Workplace" else "AzureDomainJoined",
        "externalSourceName": None,
        "isCompliant": trust != "Workplace",
        "isManaged": trust != "Workplace",
        "isRooted": False if os_name in ("IPhone", "Android") else None,
        "managementType": None if trust == "Workplace" else "MDM",
        "manufacturer": maker,
        "mdmAppId": None if trust == "Workplace" else "0000000a-0000-0000-c000-000000000000",
        "model": model,
        "onPremisesLastSyncDateTime": "2026-05-31T22:15:04Z" if hybrid else None,
        "onPremisesSecurityIdentifier":
            f"{DOMAIN_SID}-{2100 + int.from_bytes(draw[11:13], 'big') % 7000}" if hybrid else None,
        "onPremisesSyncEnabled": True if hybrid else None,
        "operatingSystem": os_name,
        "operatingSystemVersion": version,
        "physicalIds": [
            f"[HWID]:h:{group}",
            f"[USER-GID]:{USER_IDS['mia']}:{group}",
            f"[GID]:g:{group}",
        ],
        "profileType": "RegisteredDevice",
        "registrationDateTime": print_time(enrolled),
        "sourceType": None,
        "systemLabels": [],
        "trustType": trust,
        "extensionAttributes": {f"extensionAttribute{n}": None for n in range(1, 16)},
        "alternativeSecurityIds": type_two(alternative_ids(slug, certificates)),
        "registeredOwners": people([] if owner is None else [owner]),
        "registeredUsers": people(([] if owner is None else [owner]) if users is None else users),
    }
    values.update(members)
    return {key: value for key, value in values.items() if value is not UNKNOWN}


def people(keys):
    if keys is UNKNOWN:
        return UNKNOWN
    return [
        key if isinstance(key, dict)
        else {"@odata.type": "#microsoft.graph.user", "id": USER_IDS[key]}
        for key in keys
    ]


def sids_of(graph, member):
    names = {value: key for key, value in USER_IDS.items()}
    sids = [USER_SIDS.get(names.get(person["id"])) for person in graph.get(member, [])]
    return [sid.encode() for sid in sids if sid]


def managed_attributes(graph):
    """What the profile `adfs` with the schema of 2016 makes of a device: name -> list of octets."""

    def text(value):
        return [] if value is None else [str(value).encode()]

    def boolean(value):
        return [] if value is None else [b"TRUE" if value is True else b"FALSE"]

    stamp = graph.get("approximateLastSignInDateTime")
    computer = graph.get("onPremisesSecurityIdentifier")
    values = {
        "displayName": text(graph["displayName"]),
        "altSecurityIdentities": [
            base64.b64decode(item["key"]).decode("utf-16-le").encode()
            for item in graph["alternativeSecurityIds"] if item["type"] == 2
        ],
        "msDS-DeviceID": [guid_bytes(graph["deviceId"])],
        "msDS-IsEnabled": boolean(graph["accountEnabled"]),
        "msDS-IsManaged": boolean(graph["isManaged"]),
        "msDS-CloudIsManaged": boolean(graph["isManaged"]),
        "msDS-IsCompliant": boolean(graph["isCompliant"]),
        "msDS-DeviceOSType": text(graph["operatingSystem"]),
        "msDS-DeviceOSVersion": text(graph["operatingSystemVersion"]),
        "msDS-DevicePhysicalIDs": [value.encode() for value in graph["physicalIds"]],
        "msDS-DeviceObjectVersion": text(graph["deviceVersion"]),
        "msDS-DeviceTrustType": text(TRUST_TYPES[graph["trustType"]]),
        "msDS-CloudAnchor": [f"Device_{graph['id']}".encode()],
        "msDS-RegisteredOwner": sids_of(graph, "registeredOwners")[:1],
        "msDS-RegisteredUsers": sids_of(graph, "registeredUsers"),
        "msDS-ApproximateLastLogonTimeStamp": text(filetime(stamp) if stamp else None),
        "msDS-ComputerSID": [sid_bytes(computer)] if computer else [],
    }
    return {name: value for name, value in values.items() if value}


class Quickstart:
    """The cloud's records, the directory's objects, and what is to become of each."""

    def __init__(self):
        self.cloud = []      # (sort key, JSON object)
        self.objects = []    # (dn, cn, attributes, foreign attributes)
        self.decisions = []
        self.untouched = []
        self.no_object = []

    # -- building blocks ---------------------------------------------------------------

    def record(self, graph, late=False):
        order = digest(SEED, f"order/{graph['id']}/{graph.get('deviceId')}").hex()
        self.cloud.append((late, order, graph))

    def object(self, attributes, *, cn=None, dn_cn=None, foreign=None, slug):
        device = attributes["msDS-DeviceID"][0]
        cn = cn or str(uuid.UUID(bytes_le=device))
        dn = f"CN={dn_cn or cn},{CONTAINER}"
        number = len(self.objects)
        extra = {"objectGUID": [guid_bytes(guid(SEED, f"{slug}/objectGUID"))]}
        if number % 3 == 0:
            extra["whenCreated"] = [f"2025{1 + number % 12:02}{1 + number % 28:02}081522.0Z".encode()]
            extra["uSNChanged"] = [str(20_480 + 7 * number).encode()]
        if number % 7 == 1:
            extra["nTSecurityDescriptor"] = [security_descriptor(f"{DOMAIN_SID}-512")]
        extra.update(foreign or {})
        self.objects.append((dn, cn, attributes, extra))
        return dn

    def decide(self, kind, code, graph=None, *, device_id=None, note=None, dn=None, **more):
        key = "action" if kind in ("create", "update", "disable", "delete") else "list"
        entry = {"device_id": device_id or graph["deviceId"].lower(), key: kind, "code_hint": code}
        if graph is not None:
            entry["object_id"] = graph["id"]
            entry["display_name"] = graph.get("displayName")
        if dn:
            entry["dn"] = dn
        entry.update(more)
        if note:
            entry["note"] = note
        self.decisions.append(entry)

    # -- decisions ---------------------------------------------------------------------

    def create(self, slug, name, note=None, **options):
        graph = graph_device(slug, name, **options)
        self.record(graph)
        attributes = managed_attributes(graph)
        self.decide("create", "new", graph, note=note,
                    dn=f"CN={graph['deviceId'].lower()},{CONTAINER}",
                    attributes={name: encode(values) for name, values in sorted(attributes.items())})

    def skip(self, slug, name, code, note=None, **options):
        graph = graph_device(slug, name, **options)
        self.record(graph)
        self.decide("skipped", code, graph, note=note)

    def present(self, slug, name, kind, code, note=None, *, before=None, cn=None, foreign=None,
                **options):
        """A device of ours that is in the directory; `before` is what differs there."""
        graph = graph_device(slug, name, **options)
        self.record(graph)
        cloud = managed_attributes({**graph, "displayName": graph["displayName"] or "unnamed"})
        attributes = merge(cloud, before)
        dn = self.object(attributes, cn=cn, foreign=foreign, slug=slug)
        more = {}
        if code == "soft_deleted":
            more["changes"] = DISABLED
        elif kind in ("update", "disable"):
            more["changes"] = {
                name: {"old": encode(attributes.get(name, [])), "new": encode(cloud.get(name, []))}
                for name in sorted(before)
            }
        self.decide(kind, code, graph, note=note, dn=dn, **more)
        return graph, dn

    def gone(self, slug, name, kind, code, note=None, *, removed=None, foreign=None, key=False,
             **options):
        """A device of ours whose cloud twin is no longer there, or never was."""
        graph = graph_device(slug, name, **options)
        attributes = managed_attributes(graph)
        dn = f"CN={graph['deviceId']},{CONTAINER}"
        foreign = dict(foreign or {})
        if key:
            foreign["msDS-KeyCredentialLink"] = [
                key_credential(dn, graph["deviceId"], rsa_material(SEED, slug), NOW).encode()
            ]
        self.object(attributes, foreign=foreign, slug=slug)
        if removed:
            self.record({"id": graph["id"], "@removed": {"reason": removed}}, late=True)
        more = {"changes": DISABLED} if code == "soft_deleted" else {}
        self.decide(kind, code, graph, note=note, dn=dn, **more)


def encode(values):
    return [base64.b64encode(value).decode() for value in values]


DISABLED = {"msDS-IsEnabled": {"old": encode([b"TRUE"]), "new": encode([b"FALSE"])}}


def merge(attributes, changes):
    merged = {**attributes, **(changes or {})}
    return {name: values for name, values in merged.items() if values}


def last_of(slug, signed_in):
    return graph_device(slug, "", signed_in=signed_in)["approximateLastSignInDateTime"]

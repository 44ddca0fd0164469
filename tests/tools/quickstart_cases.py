"""Every device of the quickstart, with the decision it is there to show. `build` collects them."""

import base64

from directory_forms import (
    digest,
    filetime,
    guid,
    guid_bytes,
    security_descriptor,
    sid_bytes,
)
from quickstart_devices import (
    DOMAIN_SID,
    SEED,
    UNKNOWN,
    USER_SIDS,
    Quickstart,
    alternative_ids,
    graph_device,
    last_of,
    managed_attributes,
    merge,
    type_two,
)


def unchanged(q):
    """Devices that stand in the directory as they should."""
    people_cycle = ["mia", "kenji", "sofia", "omar", "lena", "priya"]
    kinds = [("Windows", "AzureAd"), ("Windows", "ServerAd"), ("IPhone", "Workplace"),
             ("MacMDM", "AzureAd"), ("Android", "Workplace"), ("Windows", "AzureAd")]
    titles = {"Windows": "LAPTOP", "IPhone": "iPhone", "MacMDM": "MAC", "Android": "Pixel"}
    for number in range(20):
        os_name, trust = kinds[number % len(kinds)]
        tag = digest(SEED, f"name/{number}").hex()[:6].upper()
        name = {"ServerAd": f"PC-{tag}"}.get(trust, f"{titles[os_name]}-{tag}")
        foreign = {}
        if number % 5 == 0:
            foreign["description"] = [f"Inventory {4711 + number}".encode()]
        q.present(f"plain-{number:02}", name, "unchanged", "same", os_name=os_name, trust=trust,
                  owner=people_cycle[number % 6], foreign=foreign,
                  **({"isCompliant": None} if number % 4 == 2 else {}))

    mia, omar, priya = (USER_SIDS[key] for key in ("mia", "omar", "priya"))
    q.present("same-umlaut", "Müller-Büro", "unchanged", "same",
              foreign={"description": ["Büro Zürich, 2. Stock".encode()]})
    q.present("same-tokyo", "東京-端末-07", "unchanged", "same", owner="kenji")
    q.present("same-owner-binary", "LAPTOP-OWNERBIN", "unchanged", "same",
              "the owner stands there as a binary SID: same meaning",
              before={"msDS-RegisteredOwner": [sid_bytes(mia)],
                      "msDS-RegisteredUsers": [sid_bytes(mia)]})
    q.present("same-anchor-binary", "LAPTOP-ANCHOR16", "unchanged", "same",
              "the cloud anchor stands there as 16 octets: same meaning",
              before={"msDS-CloudAnchor": [guid_bytes(guid(SEED, "same-anchor-binary/object"))]})
    q.present("same-sets", "LAPTOP-SETS", "unchanged", "same",
              "two certificates and two users in another order: sets are sets",
              certificates=2, owner="omar", users=["omar", "priya"],
              before={"altSecurityIdentities":
                          [value.encode() for value in reversed(alternative_ids("same-sets", 2))],
                      "msDS-RegisteredUsers": [priya.encode(), omar.encode()]})
    q.present("same-upper-id", "LAPTOP-UPPERID", "unchanged", "same",
              "Graph prints the GUID in upper case",
              deviceId=guid(SEED, "same-upper-id/device").upper())
    q.present("same-other-cn", "LAPTOP-OTHERCN", "unchanged", "same",
              "found by msDS-DeviceID; the DN is never renamed",
              cn="{" + guid(SEED, "same-other-cn/device").upper() + "}")
    q.present("same-logon-near", "LAPTOP-LOGON5D", "unchanged", "same",
              "the cloud's sign-in is only 5 days newer", signed_in=3,
              before={"msDS-ApproximateLastLogonTimeStamp":
                          [filetime(last_of("same-logon-near", 3), -5).encode()]})
    q.present("same-logon-newer", "LAPTOP-LOGONADFS", "unchanged", "same",
              "AD FS has seen it later than the cloud", signed_in=40,
              before={"msDS-ApproximateLastLogonTimeStamp":
                          [filetime(last_of("same-logon-newer", 40), 35).encode()]})
    q.present("same-no-logon", "LAPTOP-NEVERSEEN", "unchanged", "same",
              "no sign-in on either side", approximateLastSignInDateTime=None)
    q.present("same-owner-absent", "LAPTOP-OWNERUNREAD", "unchanged", "same",
              "owners and users are absent from the answer: unknown keeps what is there",
              registeredOwners=UNKNOWN, registeredUsers=UNKNOWN,
              before={"msDS-RegisteredOwner": [mia.encode()], "msDS-RegisteredUsers": [mia.encode()]})
    q.present("same-owner-stranger", "LAPTOP-OWNERSTRANGER", "unchanged", "same",
              "the owner is not among the users read: unknown keeps what is there",
              owner="stranger",
              before={"msDS-RegisteredOwner": [omar.encode()], "msDS-RegisteredUsers": [omar.encode()]})
    q.present("same-owner-hidden", "LAPTOP-OWNERHIDDEN", "unchanged", "same",
              "the owner was read without the SID member: unknown keeps what is there",
              owner="noor",
              before={"msDS-RegisteredOwner": [priya.encode()], "msDS-RegisteredUsers": [priya.encode()]})
    q.present("same-disabled", "LAPTOP-ALREADYOFF", "unchanged", "same",
              "disabled on both sides", accountEnabled=False)
    q.present("same-nulls", "LAPTOP-NULLS", "unchanged", "same",
              "isManaged, isCompliant, deviceVersion null and absent",
              isManaged=None, isCompliant=None, deviceVersion=None, owner=None)


def updates(q):
    lena = USER_SIDS["lena"].encode()
    q.present("differs-name", "LAPTOP-RENAMED", "update", "changed",
              before={"displayName": [b"DESKTOP-OLDNAME"]}, foreign={"description": [b"Loaner #3"]})
    q.present("differs-version", "LAPTOP-UPGRADED", "update", "changed",
              before={"msDS-DeviceOSVersion": [b"10.0.22631.5189"]})
    q.present("differs-compliant", "LAPTOP-NONCOMPLIANT", "update", "changed", isCompliant=False,
              before={"msDS-IsCompliant": [b"TRUE"]},
              foreign={"nTSecurityDescriptor": [security_descriptor(f"{DOMAIN_SID}-519")]})
    q.present("differs-certificate", "LAPTOP-TWOCERTS", "update", "changed",
              "two certificates in the cloud, one in the directory", certificates=2,
              before={"altSecurityIdentities":
                          [alternative_ids("differs-certificate", 1)[0].encode()]})
    q.present("differs-owner-cloud", "LAPTOP-NOWCLOUD", "update", "changed",
              "the new owner is cloud-only: owner and users are cleared", owner="casey",
              before={"msDS-RegisteredOwner": [lena], "msDS-RegisteredUsers": [lena]})
    q.present("differs-owner", "LAPTOP-HANDOVER", "update", "changed", owner="priya",
              before={"msDS-RegisteredOwner": [lena], "msDS-RegisteredUsers": [lena]})
    q.present("differs-logon", "LAPTOP-LOGON30D", "update", "changed",
              "the cloud's sign-in is 30 days newer", signed_in=4,
              before={"msDS-ApproximateLastLogonTimeStamp":
                          [filetime(last_of("differs-logon", 4), -30).encode()]})
    q.present("differs-unmanaged", "LAPTOP-UNENROLLED", "update", "changed",
              "isManaged is null now: both flags are cleared", isManaged=None,
              before={"msDS-IsManaged": [b"TRUE"], "msDS-CloudIsManaged": [b"TRUE"]})
    q.present("differs-enabled", "LAPTOP-BACKAGAIN", "update", "changed", "enabled again in the cloud",
              before={"msDS-IsEnabled": [b"FALSE"]})
    old = guid(SEED, "differs-registration/old object")
    q.present("differs-registration", "LAPTOP-REREGISTERED", "update", "changed",
              "registered again: same deviceId, new object; the removal of the old one does not count",
              before={"msDS-CloudAnchor": [f"Device_{old}".encode()],
                      "altSecurityIdentities":
                          [value.encode() for value in alternative_ids("differs-registration/old")]})
    q.record({"id": old, "@removed": {"reason": "deleted"}}, late=True)
    q.no_object.append({"object_id": old, "note": "removed; its deviceId lives on in another object"})


def retirements(q):
    for number in (1, 2):
        q.present(f"disabled-{number}", f"LAPTOP-LOST-{number}", "disable", "disabled_in_cloud",
                  accountEnabled=False, before={"msDS-IsEnabled": [b"TRUE"]})
    q.present("soft-listed", "LAPTOP-SOFTLISTED", "disable", "soft_deleted",
              "soft-deleted, as deletedItems lists it: disabled only",
              deletedDateTime="2026-05-28T09:41:13Z")
    q.gone("soft-removed", "LAPTOP-SOFTREMOVED", "disable", "soft_deleted",
           "soft-deleted, as a delta reports it: disabled only", removed="changed")
    for number in (1, 2, 3):
        q.gone(f"deleted-{number}", f"LAPTOP-SCRAPPED-{number}", "delete", "gone", removed="deleted",
               foreign={"description": [b"To be scrapped"]} if number == 2 else None)
    q.present("excluded", "LAPTOP-EXCLUDED", "delete", "out_of_scope",
              "excluded by exclude_devices in config.toml")

    for number in (1, 2):
        q.gone(f"stranger-{number}", f"LAPTOP-OTHERTENANT-{number}", "held", "never_known",
               "marked, but the source has never known it: held until --take-over")
    q.gone("deleted-key", "LAPTOP-WITHKEY", "held", "has_key",
           "gone, but it holds a key that could not be written again", removed="deleted", key=True)
    q.present("nameless-held", None, "held", "unusable", "live, but its name is null now",
              before={"displayName": [b"LAPTOP-NAMELESS"]})
    q.present("stale-held", "LAPTOP-STALE", "held", "stale",
              "last seen more than 90 days ago; AD FS cleans it up", signed_in=140)
    q.present("bad-held", "LAPTOP-BADRECORD", "held", "bad_record",
              "accountEnabled is a text", accountEnabled="yes", before={"msDS-IsEnabled": [b"TRUE"]})


def creations(q):
    q.create("new-plain-1", "LAPTOP-NEW-1", owner="lena")
    q.create("new-plain-2", "iPhone of Omar", os_name="IPhone", trust="Workplace", owner="omar")
    q.create("new-hybrid-1", "PC-HYBRID-1", trust="ServerAd", owner=None)
    q.create("new-hybrid-2", "PC-HYBRID-2", trust="ServerAd", owner="kenji")
    q.create("new-linux", "build-box-3", os_name="Linux", owner="priya")
    q.create("new-two-certs", "LAPTOP-NEWTWOCERTS", certificates=2)
    q.create("new-disabled", "LAPTOP-NEWOFF", "created disabled", accountEnabled=False)
    q.create("new-nulls", "LAPTOP-NEWNULLS", isManaged=None, isCompliant=None)
    q.create("new-printer", "Kiosk-Printer", profileType="Printer", owner=None)

    q.create("owner-cloud", "LAPTOP-OWNCLOUD", "the owner is cloud-only: no owner", owner="robin")
    q.create("owner-foreign", "LAPTOP-OWNFOREIGN", "the owner's SID is of another forest: no owner",
             owner="pat")
    q.create("owner-protected", "LAPTOP-OWNADMIN", "the owner is protected (adminCount): no owner",
             owner="alex")
    q.create("owner-500", "LAPTOP-OWN500", "the owner's RID is below 1000: no owner",
             owner="administrator")
    q.create("owner-unresolved", "LAPTOP-OWNGONE", "the owner's SID resolves to nobody: no owner",
             owner="gina")
    q.create("owner-stranger", "LAPTOP-OWNSTRANGER", "the owner is not among the users read",
             owner="stranger")
    q.create("owner-none", "LAPTOP-OWNNONE", "registeredOwners is empty", owner=None)
    q.create("owner-absent", "LAPTOP-OWNABSENT", "registeredOwners is absent",
             registeredOwners=UNKNOWN, registeredUsers=UNKNOWN)
    q.create("owner-mixed", "LAPTOP-OWNMIXED",
             "of the users one counts: the others are cloud-only, protected, a service principal",
             owner="sofia",
             users=["sofia", "casey", "alex",
                    {"@odata.type": "#microsoft.graph.servicePrincipal",
                     "id": guid(SEED, "service principal")}])

    hostile = [
        ("script", "<script>alert(1)</script>"),
        ("shell", '"; rm -rf /'),
        ("escape", "\x1b[31mRED\x1b[0m\x1b]0;owned\x07"),
        ("newline", "innocent\ndn: CN=evil"),
        ("rtl", "LAPTOP-\u202egpj.exe"),
        ("spaces", " padded "),
        ("colon", ":not base64"),
        ("less", "< file:///etc/passwd"),
        ("formula", '=HYPERLINK("http://evil.example","click")'),
        ("emoji", "📱 Zoë’s phone 👩🏽‍💻"),
        ("dn", "CN=admin,OU=x\\2C+y#z"),
        ("long", ("Überlanger-Gerätename-" * 12)[:256]),
    ]
    for slug, name in hostile:
        q.create(f"name-{slug}", name, f"hostile name: {slug}")


def skips(q):
    q.skip("zero", "LAPTOP-ZEROID", "invalid_device_id",
           deviceId="00000000-0000-0000-0000-000000000000")
    q.skip("nameless", None, "no_display_name")
    q.skip("no-alternative", "LAPTOP-NOKEYS", "no_alternative_id", alternativeSecurityIds=[])
    q.skip("absent-alternative", "LAPTOP-KEYSUNREAD", "no_alternative_id",
           "alternativeSecurityIds is absent", alternativeSecurityIds=UNKNOWN)
    for slug, kind in (("iot-1", 1), ("iot-0", 0)):
        text = base64.b64encode(digest(SEED, f"{slug}/alternative")).decode()
        q.skip(slug, f"Sensor-{slug}", "no_alternative_id", os_name="Linux", owner=None,
               profileType="IoT",
               alternativeSecurityIds=[{"type": kind, "identityProvider": None, "key": text}])
    q.skip("iot-text", "Sensor-iot-text", "no_alternative_id", "the key is not base64",
           os_name="Linux", owner=None, profileType="IoT",
           alternativeSecurityIds=[{"type": 2, "identityProvider": None, "key": "~~ not base64 ~~"}])
    good = alternative_ids("iot-odd")[0].encode("utf-16-le")
    q.skip("iot-odd", "Sensor-iot-odd", "no_alternative_id", "the key has an odd number of octets",
           os_name="Linux", owner=None, profileType="IoT",
           alternativeSecurityIds=[{"type": 2, "identityProvider": None,
                                    "key": base64.b64encode(good[:-1]).decode()}])
    q.skip("stale", "LAPTOP-LONGGONE", "stale", signed_in=200)
    q.skip("excluded-new", "LAPTOP-EXCLUDEDNEW", "out_of_scope",
           "excluded by exclude_devices in config.toml")
    q.skip("soft-unknown", "LAPTOP-SOFTUNKNOWN", "soft_deleted",
           "soft-deleted and never written back", deletedDateTime="2026-05-20T17:02:55Z")
    for reason in ("changed", "deleted"):
        oid = guid(SEED, f"unknown-{reason}/object")
        q.record({"id": oid, "@removed": {"reason": reason}}, late=True)
        q.no_object.append({"object_id": oid, "note": f"removed ({reason}); never written back"})


def conflicts(q):
    twin = guid(SEED, "twin/device")
    for number in (1, 2):
        graph = graph_device(f"twin-{number}", f"LAPTOP-TWIN-{number}", deviceId=twin)
        q.record(graph)
    q.decide("conflict", "duplicate_device_id", device_id=twin,
             note="two live records carry this deviceId")
    shared = type_two(alternative_ids("shared"))
    for number in (1, 2):
        graph = graph_device(f"shared-{number}", f"LAPTOP-CLONE-{number}", alternativeSecurityIds=shared)
        q.record(graph)
        q.decide("conflict", "shared_alternative_id", graph)

    # Objects that are not ours: AD FS's own registrations carry no cloud anchor.
    for number in range(1, 5):
        graph = graph_device(f"adfs-{number}", f"OWN-{number}", owner="sofia", trust="ServerAd")
        attributes = managed_attributes(graph)
        for name in ("msDS-CloudAnchor", "msDS-IsManaged", "msDS-IsCompliant", "msDS-ComputerSID"):
            attributes.pop(name, None)
        attributes["msDS-CloudIsManaged"] = [b"FALSE"]
        attributes["msDS-RegisteredOwner"] = [sid_bytes(USER_SIDS["sofia"])]
        attributes["msDS-RegisteredUsers"] = [sid_bytes(USER_SIDS["sofia"])]
        dn = q.object(attributes, slug=f"adfs-{number}",
                      foreign={"description": [b"Registered with AD FS"]} if number == 2 else None)
        q.untouched.append(dn)
        if number == 4:
            q.record(graph)
            q.decide("conflict", "foreign_object", graph, dn=dn,
                     note="AD FS's own registration has this msDS-DeviceID")

    graph = graph_device("name-taken", "LAPTOP-NAMETAKEN")
    q.record(graph)
    other = managed_attributes(graph_device("name-taker", "LAPTOP-NAMETAKER"))
    other.pop("msDS-CloudAnchor")
    dn = q.object(other, cn=graph["deviceId"], slug="name-taker")
    q.untouched.append(dn)
    q.decide("conflict", "name_taken", graph, dn=dn, note="another device stands at its DN")

    graph = graph_device("double", "LAPTOP-DOUBLE")
    q.record(graph)
    for cn in (graph["deviceId"], guid(SEED, "double/other cn")):
        q.untouched.append(q.object(managed_attributes(graph), cn=cn, slug=f"double/{cn}"))
    q.decide("conflict", "duplicate_object", graph, note="two objects have this msDS-DeviceID")

    graph = graph_device("replica", "LAPTOP-REPLICA")
    q.record(graph)
    attributes = managed_attributes(graph)
    q.untouched.append(q.object(attributes, slug="replica"))
    loser = guid(SEED, "replica/loser/objectGUID")
    q.untouched.append(q.object(
        merge(attributes, {"displayName": [b"LAPTOP-REPLICA-OLD"]}),
        cn=f"{graph['deviceId']}\nCNF:{loser}", dn_cn=f"{graph['deviceId']}\\0ACNF:{loser}",
        slug="replica/loser"))
    q.decide("conflict", "replication_conflict", graph,
             note="replication left a second object (CNF) with this msDS-DeviceID")


def build():
    q = Quickstart()
    for part in (unchanged, updates, retirements, creations, skips, conflicts):
        part(q)
    return q

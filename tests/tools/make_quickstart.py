#!/usr/bin/env python3
"""Make the quickstart: a small tenant, a forest that already holds some of its devices, and
the decision every device is there to show.

    make_quickstart.py [OUTDIR]     write the files (default: crates/cli/quickstart)
    make_quickstart.py --check      compare them with what is there, exit 1 if they differ

Writes `devices/page-1.json`, `devices/page-2.json`, `users.json`, `directory.ldif` and
`expected.json`. `config.toml`, `config-limit.toml` and `README.md` beside them are written by
hand. Nothing comes from the clock: the data is about 2026-06-01T08:00:00Z.
Standard library only.
"""

import base64
import json
import os
import sys

from directory_forms import digest, guid
from forest import ldif_entry, prepared_forest
from quickstart_cases import build
from quickstart_devices import (
    BASE,
    CONTAINER,
    DOMAIN_SID,
    NOW,
    SEED,
    TENANT_ID,
    UNKNOWN,
    USER_IDS,
    USERS,
)


def print_json(value):
    """Compact JSON; what a terminal or an editor would interpret is escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "".join(
        f"\\u{ord(char):04x}" if char in "\x7f\u2028\u2029\u202a\u202b\u202c\u202d\u202e" else char
        for char in text
    )


def page(context, items, next_link=None):
    head = {"@odata.context": f"https://graph.microsoft.com/v1.0/$metadata#{context}"}
    if next_link:
        head["@odata.nextLink"] = next_link
    lines = ",\n".join(print_json(item) for item in items)
    return print_json(head)[:-1] + ',"value":[\n' + lines + "\n]}\n"


def device_pages(q):
    items = [item for _, _, item in sorted(q.cloud, key=lambda row: row[:2])]
    half = (len(items) + 1) // 2
    token = base64.urlsafe_b64encode(digest(SEED, "skiptoken")).decode().rstrip("=")
    link = f"https://graph.microsoft.com/v1.0/devices?$top=999&$skiptoken={token}"
    context = "devices(registeredOwners(),registeredUsers())"
    return page(context, items[:half], link), page(context, items[half:])


def users_page():
    items = []
    for key, name, rid, account in USERS:
        item = {
            "id": USER_IDS[key],
            "displayName": name,
            "userPrincipalName": f"{(account or key).lower()}@contoso.com",
        }
        if rid is not UNKNOWN:
            item["onPremisesSecurityIdentifier"] = f"{DOMAIN_SID}-{rid}" if isinstance(rid, int) else rid
        items.append(item)
    return page("users(id,displayName,userPrincipalName,onPremisesSecurityIdentifier)", items)


def directory(q):
    users = [
        (key, name, rid, account, [("adminCount", ["1"])] if key == "alex" else [])
        for key, name, rid, account in USERS if account
    ]
    out = [
        "version: 1\n",
        "# The forest contoso.com as the quickstart finds it: prepared for device writeback, with\n",
        "# devices of the cloud, devices AD FS registered itself, and some that need a person.\n\n",
        *prepared_forest(SEED, BASE, DOMAIN_SID, TENANT_ID, CONTAINER, users),
        "# The devices.\n",
    ]
    order = sorted(q.objects, key=lambda row: digest(SEED, f"ldif/{row[0]}"))
    for number, (dn, cn, attributes, foreign) in enumerate(order):
        if number % 20 == 10:
            out.append(f"# {number} of {len(order)} devices above this line; a comment\n# may also be folded"
                       " like any other line,\n  as here.\n")
        rows = [("objectClass", ["top", "msDS-Device"]), ("cn", [cn]), *attributes.items(), *foreign.items()]
        # Long lines are folded in most entries and left alone in some: both are good LDIF.
        out.append(ldif_entry(dn, rows, fold=number % 4 != 3,
                              plain=("msDS-CloudAnchor",) if number % 9 == 5 else ()))
    return "".join(out)


def expected(q):
    summary = {}
    for entry in q.decisions:
        kind = entry.get("action") or entry["list"]
        summary[kind] = summary.get(kind, 0) + 1
    head = {
        "about": "What the quickstart is meant to show with config.toml and --now; values in base64. "
                 "Made by tests/tools/make_quickstart.py.",
        "now": NOW,
        "tenant_id": TENANT_ID,
        "ours": sum("msDS-CloudAnchor" in row[2] for row in q.objects),
        "objects": len(q.objects),
        "retirements": sum(entry["code_hint"] in ("gone", "out_of_scope", "soft_deleted")
                           and "action" in entry for entry in q.decisions),
        "summary": dict(sorted(summary.items())),
        "excluded": [guid(SEED, f"{slug}/device") for slug in ("excluded", "excluded-new")],
        "untouched": sorted(q.untouched),
        "no_object": q.no_object,
    }
    rows = sorted(q.decisions, key=lambda row: (row["device_id"], row.get("object_id", "")))
    lines = ",\n".join(print_json(row) for row in rows)
    text = json.dumps(head, ensure_ascii=False, indent=1)
    return text[:-2] + ',\n "decisions": [\n' + lines + "\n]\n}\n"


def files():
    q = build()
    first, second = device_pages(q)
    return {
        "devices/page-1.json": first,
        "devices/page-2.json": second,
        "users.json": users_page(),
        "directory.ldif": directory(q),
        "expected.json": expected(q),
    }


def main(arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    home = os.path.join(here, "..", "..", "crates", "cli", "quickstart")
    check = "--check" in arguments
    names = [argument for argument in arguments if argument != "--check"]
    if len(names) > 1 or any(name.startswith("-") for name in names):
        sys.exit(__doc__)
    out = names[0] if names else home
    different = []
    for name, text in files().items():
        path = os.path.join(out, name)
        data = text.encode()
        if check:
            try:
                with open(path, "rb") as file:
                    same = file.read() == data
            except OSError:
                same = False
            if not same:
                different.append(name)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
    if different:
        sys.exit("differs from what make_quickstart.py makes: " + ", ".join(different))


if __name__ == "__main__":
    main(sys.argv[1:])

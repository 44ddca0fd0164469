"""Makes the databases of a throw-away Samba domain controller.

    /usr/bin/python3 samba_lab.py FOLDER {2012_R2|2016} USERS

FOLDER gets `private` and `state` (what Samba keeps), `service.keytab` (the service account's
keys) and `users.tsv` (domain SID, then a line for every sample user). The domain is
contoso.test, its controller dc1; CN=RegisteredDevices exists and is empty. Nothing runs
afterwards and no address is written down: a copy of the folder starts anywhere.

Names and passwords stand in tests/src/samba/domain.rs too.
"""

import logging
import os
import sys

import ldb
import samba.dckeytab  # gives Net its export_keytab
from samba.auth import system_session
from samba.dcerpc import misc, security
from samba.dsdb import DS_DOMAIN_FUNCTION_2008_R2
from samba.ndr import ndr_pack, ndr_unpack
from samba.net import Net
from samba.param import LoadParm
from samba.provision import provision
from samba.samdb import SamDB
from samba.schema import Schema

BASE = "DC=contoso,DC=test"
DEVICES = "CN=RegisteredDevices," + BASE
SERVICE = "svc-writeback"
NEVER = "-9223372036854775808"


def make_domain(folder, schema):
    """Provisions the domain; the newest schema Samba 4.17 has files for is not in its table."""
    Schema.base_schemas.setdefault(
        "2016",
        (
            "AD_DS_Attributes__Windows_Server_2016.ldf",
            "AD_DS_Classes__Windows_Server_2016.ldf",
            87,
        ),
    )
    log = logging.getLogger("provision")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.ERROR)
    provision(
        log,
        system_session(),
        targetdir=folder,
        realm="CONTOSO.TEST",
        domain="CONTOSO",
        hostname="dc1",
        hostip="127.0.0.1",
        adminpass="Passw0rd!Admin",
        dns_backend="NONE",
        serverrole="dc",
        base_schema=schema,
        skip_sysvolacl=True,
        dom_for_fun_level=DS_DOMAIN_FUNCTION_2008_R2,
    )


def modify(database, dn, **changes):
    """Changes attributes: name=(flag, values). Python names cannot have hyphens: _ stands for -."""
    message = ldb.Message(ldb.Dn(database, str(dn)))
    for name, (flag, values) in changes.items():
        name = name.replace("_", "-")
        message[name] = ldb.MessageElement(values, flag, name)
    database.modify(message)


def allow(database, dn, aces):
    """Puts ACEs, given as SDDL, before those that the object has."""
    controls = ["show_deleted:1", "sd_flags:1:%d" % security.SECINFO_DACL]
    [found] = database.search(
        dn, scope=ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=controls
    )
    descriptor = ndr_unpack(security.descriptor, found["nTSecurityDescriptor"][0])
    domain = security.dom_sid(database.get_domain_sid())
    for ace in reversed(security.descriptor.from_sddl("D:" + aces, domain).dacl.aces):
        descriptor.dacl_add(ace)
    message = ldb.Message(found.dn)
    message["nTSecurityDescriptor"] = ldb.MessageElement(
        ndr_pack(descriptor), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor"
    )
    database.modify(message, controls=controls)


def make_service_account(database):
    """An account that may make, change and delete devices, and see that others deleted some."""
    database.newuser(SERVICE, "Svc-Passw0rd!1")
    dn = "CN=%s,CN=Users,%s" % (SERVICE, BASE)
    # AES 128 and 256 only, [MS-KILE] 2.2.7.
    modify(database, dn, msDS_SupportedEncryptionTypes=(ldb.FLAG_MOD_REPLACE, ["24"]))
    [account] = database.search(dn, scope=ldb.SCOPE_BASE, attrs=["objectSid"])
    sid = ndr_unpack(security.dom_sid, account["objectSid"][0])
    [device] = database.search(
        database.get_schema_basedn(),
        expression="(lDAPDisplayName=msDS-Device)",
        attrs=["schemaIDGUID"],
    )
    device = misc.GUID(device["schemaIDGUID"][0])
    allow(
        database,
        DEVICES,
        "(OA;;CCDC;{device};;{sid})"  # create and delete devices here
        "(OA;CIIO;RPWP;;{device};{sid})"  # read and write every property of a device
        "(A;;LCRP;;;{sid})".format(device=device, sid=sid),  # list and read the container
    )
    allow(database, "CN=Deleted Objects," + BASE, "(A;CI;LCRP;;;%s)" % sid)


def make_users(database, count):
    """user01, user02, ...: people who own devices."""
    database.transaction_start()
    for number in range(1, count + 1):
        database.newuser(
            "user%02d" % number,
            "User-Passw0rd!1",
            givenname="User",
            surname="%02d" % number,
            userou="CN=Users",
        )
    database.transaction_commit()


def list_users(database, path):
    found = database.search(
        "CN=Users," + BASE,
        expression="(&(objectClass=user)(sAMAccountName=user*))",
        attrs=["sAMAccountName", "userPrincipalName", "objectSid", "objectGUID"],
    )
    with open(path, "w", encoding="utf-8") as out:
        out.write("%s\n" % database.get_domain_sid())
        for user in sorted(found, key=lambda user: str(user["sAMAccountName"])):
            fields = (
                user["sAMAccountName"],
                user["userPrincipalName"],
                ndr_unpack(security.dom_sid, user["objectSid"][0]),
                misc.GUID(user["objectGUID"][0]),
                user.dn,
            )
            out.write("\t".join(map(str, fields)) + "\n")


def main(folder, schema, users):
    make_domain(folder, schema)
    configuration = LoadParm()
    configuration.load(os.path.join(folder, "etc", "smb.conf"))
    configuration.set("dsdb:schema update allowed", "yes")
    database = SamDB(
        url=os.path.join(folder, "private", "sam.ldb"),
        lp=configuration,
        session_info=system_session(configuration),
    )
    if schema == "2016":
        # Samba's files leave this back link out of class top, which AD has there. Without it
        # nothing that a key credential points to can be changed any more.
        modify(
            database,
            "CN=Top,%s" % database.get_schema_basedn(),
            mayContain=(ldb.FLAG_MOD_ADD, ["msDS-KeyCredentialLink-BL"]),
        )
    database.set_maxPwdAge(NEVER)  # a template may be kept for months
    database.add({"dn": DEVICES, "objectClass": "msDS-DeviceContainer"})
    make_service_account(database)
    make_users(database, users)
    list_users(database, os.path.join(folder, "users.tsv"))
    Net(None, configuration).export_keytab(
        keytab=os.path.join(folder, "service.keytab"), principal=SERVICE
    )


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

"""A domain prepared for device writeback, as LDIF content records ([RFC 2849])."""

from directory_forms import guid, guid_bytes, ldif_line, sid_bytes

# Octet attributes that tools print in base64 even where the octets happen to be ASCII.
ALWAYS_BASE64 = {"msDS-DeviceID", "msDS-CloudAnchor", "msDS-ComputerSID", "objectGUID", "objectSid",
                 "nTSecurityDescriptor"}


def ldif_entry(dn, attributes, fold=True, plain=()):
    lines = [ldif_line("dn", dn.encode(), fold=fold)]
    for name, values in attributes:
        for value in values:
            value = value.encode() if isinstance(value, str) else value
            lines.append(ldif_line(name, value, name in ALWAYS_BASE64 and name not in plain, fold))
    return "".join(lines) + "\n"


def object_guid(seed, label):
    return ("objectGUID", [guid_bytes(guid(seed, f"{label}/objectGUID"))])


def prepared_forest(seed, base, domain_sid, tenant_id, container, users):
    """Yields the entries of the domain; `users` are (key, display name, RID, account, attributes)."""
    configuration = f"CN=Configuration,{base}"
    drs = f"CN=Device Registration Configuration,CN=Services,{configuration}"
    services = f"CN=Device Registration Services,{drs}"
    yield ldif_entry(base, [("objectClass", ["top", "domain", "domainDNS"]),
                            ("dc", [base.split(",")[0].removeprefix("DC=")]),
                            object_guid(seed, "domain"), ("objectSid", [sid_bytes(domain_sid)])])
    yield ldif_entry(f"CN=Users,{base}", [("objectClass", ["top", "container"]), ("cn", ["Users"]),
                                          object_guid(seed, "users")])
    yield "# The people.\n"
    for key, name, rid, account, more in users:
        yield ldif_entry(
            f"CN={account},CN=Users,{base}",
            [("objectClass", ["top", "person", "organizationalPerson", "user"]), ("cn", [account]),
             ("displayName", [name]), ("sAMAccountName", [account]), object_guid(seed, f"user/{key}"),
             ("objectSid", [sid_bytes(f"{domain_sid}-{rid}")]), *more])
    yield ldif_entry(configuration, [("objectClass", ["top", "configuration"]), ("cn", ["Configuration"]),
                                     object_guid(seed, "configuration")])
    yield ldif_entry(f"CN=Services,{configuration}",
                     [("objectClass", ["top", "container"]), ("cn", ["Services"]),
                      object_guid(seed, "services")])
    yield ldif_entry(drs, [("objectClass", ["top", "container"]),
                           ("cn", ["Device Registration Configuration"]), object_guid(seed, "drs")])
    yield "# Which tenant the forest belongs to.\n"
    yield ldif_entry(f"CN=62a0ff2e-97b9-4513-943f-0d221bd30080,{drs}",
                     [("objectClass", ["top", "leaf", "connectionPoint", "serviceConnectionPoint"]),
                      ("cn", ["62a0ff2e-97b9-4513-943f-0d221bd30080"]),
                      ("keywords", ["azureADName:contoso.com", f"azureADId:{tenant_id}"]),
                      object_guid(seed, "scp")])
    yield ldif_entry(services, [("objectClass", ["top", "msDS-DeviceRegistrationServiceContainer"]),
                                ("cn", ["Device Registration Services"]),
                                object_guid(seed, "drs services")])
    yield ldif_entry(container, [("objectClass", ["top", "msDS-DeviceContainer"]),
                                 ("cn", ["RegisteredDevices"]), object_guid(seed, "container")])
    yield ldif_entry(f"CN=DeviceRegistrationService,{services}",
                     [("objectClass", ["top", "msDS-DeviceRegistrationService"]),
                      ("cn", ["DeviceRegistrationService"]), ("msDS-DeviceLocation", [container]),
                      ("msDS-IsEnabled", ["TRUE"]), ("msDS-RegistrationQuota", ["10"]),
                      ("msDS-MaximumRegistrationInactivityPeriod", ["90"]),
                      object_guid(seed, "drs service")])

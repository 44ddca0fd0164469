//! What stands in the directory at the start: a forest as Active Directory has it, in little.

use device_writeback_core::guid::Guid;
use device_writeback_core::schema::{
    Attribute, CONTAINER_CLASS, DEVICE_CLASS, SchemaVersion, Syntax,
};
use device_writeback_core::sid::Sid;

use super::directory::{Directory, Elsewhere, dns_name, key};
use super::values::Entry;
use super::{
    ADMINISTRATOR, BASE, CONFIGURATION, DEVICES, DOMAIN_SID, HOST, Options, SCHEMA, USERS, User,
};

/// The RID of the first ordinary user.
const FIRST_RID: u32 = 1104;

/// Controls that the server announces; another one that is critical is refused.
pub(super) const CONTROLS: &[&str] = &[
    "1.2.840.113556.1.4.319",
    "1.2.840.113556.1.4.417",
    "1.2.840.113556.1.4.529",
    "1.2.840.113556.1.4.801",
    "1.2.840.113556.1.4.805",
    "1.2.840.113556.1.4.841",
    "1.2.840.113556.1.4.1339",
    "1.2.840.113556.1.4.1340",
    "1.2.840.113556.1.4.1413",
    "1.2.840.113556.1.4.2064",
];

/// The OIDs of the device attributes ([MS-ADA1], [MS-ADA2]); 1.2.840.113556.1.4 unless whole.
const OIDS: &[(Attribute, &str)] = &[
    (Attribute::DisplayName, "1.2.840.113556.1.2.13"),
    (Attribute::AltSecurityIdentities, "867"),
    (Attribute::DeviceId, "2252"),
    (Attribute::IsEnabled, "2248"),
    (Attribute::DeviceOsType, "2249"),
    (Attribute::DeviceOsVersion, "2250"),
    (Attribute::DevicePhysicalIds, "2251"),
    (Attribute::DeviceObjectVersion, "2257"),
    (Attribute::CloudAnchor, "2273"),
    (Attribute::RegisteredOwner, "2258"),
    (Attribute::RegisteredUsers, "2263"),
    (Attribute::IsManaged, "2270"),
    (Attribute::CloudIsManaged, "2271"),
    (Attribute::ApproximateLastLogonTimeStamp, "2262"),
    (Attribute::IsCompliant, "2314"),
    (Attribute::DeviceTrustType, "2325"),
    (Attribute::ComputerSid, "2321"),
    (Attribute::DeviceMdmStatus, "2308"),
    (Attribute::KeyCredentialLink, "2328"),
];

pub(super) fn forest(options: &Options) -> Directory {
    let mut directory = Directory::empty(options.schema);
    let domain_sid = domain_sid();
    let mut put = |entry: Entry| {
        // The names are written here: each of them is one.
        let _ = directory.insert(entry);
    };
    let container = |dn: &str| Entry::new(dn).with("objectClass", ["top", "container"]);
    put(root_dse(options));
    put(Entry::new(BASE)
        .with("objectClass", ["top", "domain", "domainDNS"])
        .with("objectSid", [domain_sid.to_bytes()])
        .with("dc", ["contoso"]));
    put(container(USERS));
    put(Entry::new(DEVICES).with("objectClass", ["top", CONTAINER_CLASS]));
    put(Entry::new(&format!("CN=Deleted Objects,{BASE}"))
        .with("objectClass", ["top", "container"])
        .with("isDeleted", ["TRUE"]));
    put(Entry::new(CONFIGURATION).with("objectClass", ["top", "configuration"]));
    put(Entry::new(&format!("DC=DomainDnsZones,{BASE}"))
        .with("objectClass", ["top", "domain", "domainDNS"]));
    put(Entry::new(SCHEMA).with("objectClass", ["top", "dMD"]).with(
        "objectVersion",
        [options.schema.object_version().to_string()],
    ));
    put(aggregate(options.schema));
    sites().into_iter().for_each(&mut put);
    put(Entry::new(&format!("CN=Partitions,{CONFIGURATION}"))
        .with("objectClass", ["top", "crossRefContainer"]));
    for (name, context, flags) in [
        ("Enterprise Configuration", CONFIGURATION.to_owned(), "1"),
        ("Enterprise Schema", SCHEMA.to_owned(), "1"),
        ("CONTOSO", BASE.to_owned(), "3"),
        ("DomainDnsZones", format!("DC=DomainDnsZones,{BASE}"), "5"),
    ] {
        put(cross_reference(name, &context, flags));
    }
    for (domain, _) in &options.other_domains {
        let label = domain.split([',', '=']).nth(1).unwrap_or_default();
        put(cross_reference(&label.to_uppercase(), domain, "3"));
    }
    put(container(&format!("CN=Services,{CONFIGURATION}")));
    if let Some(days) = options.registration_service {
        registration_service(days).into_iter().for_each(&mut put);
    }
    for user in users(options) {
        let admin = (user.name == ADMINISTRATOR).then_some("1");
        put(Entry::new(&user.dn)
            .with(
                "objectClass",
                ["top", "person", "organizationalPerson", "user"],
            )
            .with("sAMAccountName", [user.name])
            .with("userPrincipalName", [user.upn])
            .with("userAccountControl", ["512"])
            .with("objectSid", [user.sid.to_bytes()])
            .with("adminCount", admin));
    }
    let contexts = [
        BASE,
        CONFIGURATION,
        SCHEMA,
        &format!("DC=DomainDnsZones,{BASE}"),
    ];
    directory.contexts = contexts
        .iter()
        .filter_map(|dn| device_writeback_core::dn::Dn::parse(dn).ok())
        .map(|dn| key(&dn))
        .collect();
    directory.elsewhere = options
        .other_domains
        .iter()
        .enumerate()
        .map(|(number, (dn, sid))| Elsewhere {
            dn: dn.clone(),
            guid: Guid::from_bytes([u8::try_from(number).unwrap_or(0) | 0xe0; 16]),
            sid: *sid,
        })
        .collect();
    directory
}

pub(super) fn domain_sid() -> Sid {
    // The text is a constant of this module's parent, and a test reads it.
    Sid::parse(DOMAIN_SID).unwrap_or_else(|_| sid(0))
}

fn sid(rid: u32) -> Sid {
    let text = format!("{DOMAIN_SID}-{rid}");
    Sid::parse(&text)
        .or_else(|_| Sid::parse("S-1-0-0"))
        .unwrap_or_else(|_| domain_sid())
}

/// The administrator and the ordinary users.
pub(super) fn users(options: &Options) -> Vec<User> {
    let user = |name: String, rid: u32| User {
        upn: format!("{name}@contoso.com"),
        dn: format!("CN={name},{USERS}"),
        sid: sid(rid),
        name,
    };
    let ordinary = (0..options.users).map(|n| user(format!("user{n:04}"), FIRST_RID + n));
    std::iter::once(user(ADMINISTRATOR.to_owned(), 500))
        .chain(ordinary)
        .collect()
}

fn root_dse(options: &Options) -> Entry {
    let forest_zones = format!("DC=DomainDnsZones,{BASE}");
    let mut capabilities = vec![
        "1.2.840.113556.1.4.800",
        "1.2.840.113556.1.4.1670",
        "1.2.840.113556.1.4.1791",
        "1.2.840.113556.1.4.1935",
        "1.2.840.113556.1.4.2080",
        "1.2.840.113556.1.4.2237",
    ];
    if options.read_only {
        capabilities.push("1.2.840.113556.1.4.1920");
    }
    let level = match options.schema.object_version() {
        0..=69 => "6",
        _ => "7",
    };
    let truth = |value: bool| if value { "TRUE" } else { "FALSE" };
    let settings = format!("CN=NTDS Settings,{}", server());
    Entry::new("")
        .with("configurationNamingContext", [CONFIGURATION])
        .with("defaultNamingContext", [BASE])
        .with("dnsHostName", [HOST])
        .with("domainControllerFunctionality", [level])
        .with("domainFunctionality", [level])
        .with("dsServiceName", [settings])
        .with("forestFunctionality", [level])
        .with(
            "isGlobalCatalogReady",
            [truth(options.global_catalog_ready)],
        )
        .with("isSynchronized", [truth(options.synchronized)])
        .with("ldapServiceName", ["contoso.com:dc1$@CONTOSO.COM"])
        .with(
            "namingContexts",
            [BASE, CONFIGURATION, SCHEMA, &forest_zones],
        )
        .with("rootDomainNamingContext", [BASE])
        .with("schemaNamingContext", [SCHEMA])
        .with("serverName", [server()])
        .with("subschemaSubentry", [format!("CN=Aggregate,{SCHEMA}")])
        .with("supportedCapabilities", capabilities)
        .with("supportedControl", CONTROLS)
        .with(
            "supportedExtension",
            [super::connection::START_TLS, super::connection::WHO_AM_I],
        )
        .with("supportedLDAPVersion", ["3", "2"])
        .with(
            "supportedSASLMechanisms",
            ["GSSAPI", "GSS-SPNEGO", "EXTERNAL", "DIGEST-MD5"],
        )
}

fn server() -> String {
    format!("CN=DC1,CN=Servers,CN=Default-First-Site-Name,CN=Sites,{CONFIGURATION}")
}

fn sites() -> Vec<Entry> {
    let sites = format!("CN=Sites,{CONFIGURATION}");
    let site = format!("CN=Default-First-Site-Name,{sites}");
    vec![
        Entry::new(&sites).with("objectClass", ["top", "sitesContainer"]),
        Entry::new(&site).with("objectClass", ["top", "site"]),
        Entry::new(&format!("CN=Servers,{site}")).with("objectClass", ["top", "serversContainer"]),
        Entry::new(&server())
            .with("objectClass", ["top", "server"])
            .with("dNSHostName", [HOST]),
        Entry::new(&format!("CN=NTDS Settings,{}", server()))
            .with("objectClass", ["top", "applicationSettings", "nTDSDSA"])
            .with("invocationId", [[0x1d; 16]]),
    ]
}

fn cross_reference(name: &str, context: &str, flags: &str) -> Entry {
    let host = device_writeback_core::dn::Dn::parse(context).map(|dn| dns_name(&dn));
    let entry = Entry::new(&format!("CN={name},CN=Partitions,{CONFIGURATION}"))
        .with("objectClass", ["top", "crossRef"])
        .with("nCName", [context])
        .with("dnsRoot", host)
        .with("systemFlags", [flags]);
    match flags {
        "3" => entry.with("nETBIOSName", [name]),
        _ => entry,
    }
}

fn registration_service(inactivity_days: u32) -> Vec<Entry> {
    let outer = format!("CN=Device Registration Configuration,CN=Services,{CONFIGURATION}");
    let services = format!("CN=Device Registration Services,{outer}");
    vec![
        Entry::new(&outer).with("objectClass", ["top", "container"]),
        Entry::new(&services).with(
            "objectClass",
            ["top", "msDS-DeviceRegistrationServiceContainer"],
        ),
        Entry::new(&format!("CN=DeviceRegistrationService,{services}"))
            .with("objectClass", ["top", "msDS-DeviceRegistrationService"])
            .with("msDS-DeviceLocation", [DEVICES])
            .with("msDS-IsEnabled", ["TRUE"])
            .with("msDS-RegistrationQuota", ["10"])
            .with(
                "msDS-MaximumRegistrationInactivityPeriod",
                [inactivity_days.to_string()],
            ),
    ]
}

/// The schema as [RFC 4512] 4.1 describes it, in Active Directory's spelling ([MS-ADTS] 3.1.1.3.1.1.1).
fn aggregate(schema: SchemaVersion) -> Entry {
    let known: Vec<&(Attribute, &str)> = OIDS
        .iter()
        .filter(|(attribute, _)| attribute.schema().since <= schema.object_version())
        .collect();
    let mut types = vec![
        "( 2.5.4.3 NAME 'cn' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE )".to_owned(),
        "( 2.5.4.0 NAME 'objectClass' SYNTAX '1.3.6.1.4.1.1466.115.121.1.38' NO-USER-MODIFICATION )".to_owned(),
        "( 1.2.840.113556.1.4.2 NAME 'objectGUID' SYNTAX '1.3.6.1.4.1.1466.115.121.1.40' SINGLE-VALUE NO-USER-MODIFICATION )".to_owned(),
    ];
    for (attribute, oid) in &known {
        let row = attribute.schema();
        let oid = match oid.contains('.') {
            true => (*oid).to_owned(),
            false => format!("1.2.840.113556.1.4.{oid}"),
        };
        let syntax = match row.syntax {
            Syntax::Unicode => "1.3.6.1.4.1.1466.115.121.1.15",
            Syntax::Boolean => "1.3.6.1.4.1.1466.115.121.1.7",
            Syntax::Integer => "1.3.6.1.4.1.1466.115.121.1.27",
            Syntax::LargeInteger => "1.2.840.113556.1.4.906",
            Syntax::DnBinary => "1.2.840.113556.1.4.903",
            _ => "1.3.6.1.4.1.1466.115.121.1.40",
        };
        let single = if row.single_valued {
            " SINGLE-VALUE"
        } else {
            ""
        };
        types.push(format!(
            "( {oid} NAME '{}' SYNTAX '{syntax}'{single} )",
            row.name
        ));
    }
    let list = |mandatory: bool| {
        let names = known.iter().map(|(attribute, _)| attribute.schema());
        let names = names
            .filter(|row| row.mandatory == mandatory)
            .map(|row| row.name);
        names.collect::<Vec<_>>().join(" $ ")
    };
    let (must, may) = (list(true), list(false));
    let classes = [
        "( 2.5.6.0 NAME 'top' ABSTRACT MUST (objectClass $ instanceType $ nTSecurityDescriptor $ objectCategory ) MAY (cn $ description $ displayName ) )".to_owned(),
        "( 1.2.840.113556.1.3.23 NAME 'container' SUP top STRUCTURAL MUST (cn ) )".to_owned(),
        format!("( 1.2.840.113556.1.5.286 NAME '{DEVICE_CLASS}' SUP top STRUCTURAL MUST ({must} ) MAY ({may} ) )"),
        format!("( 1.2.840.113556.1.5.289 NAME '{CONTAINER_CLASS}' SUP top STRUCTURAL )"),
        "( 1.2.840.113556.1.5.287 NAME 'msDS-DeviceRegistrationServiceContainer' SUP top STRUCTURAL )".to_owned(),
        "( 1.2.840.113556.1.5.284 NAME 'msDS-DeviceRegistrationService' SUP top STRUCTURAL MUST (msDS-DeviceLocation $ msDS-IsEnabled ) MAY (msDS-RegistrationQuota $ msDS-MaximumRegistrationInactivityPeriod ) )".to_owned(),
    ];
    Entry::new(&format!("CN=Aggregate,{SCHEMA}"))
        .with("objectClass", ["top", "subSchema"])
        .with("attributeTypes", types)
        .with("objectClasses", classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_ldap::filter::Filter;
    use crate::scripted_ldap::message::{AttributeValues, ModifyKind, Scope, code};

    fn directory() -> Directory {
        forest(&Options {
            other_domains: vec![("DC=child,DC=contoso,DC=com".into(), sid(7))],
            registration_service: Some(90),
            ..Options::default()
        })
    }

    fn device(name: &str) -> (String, Vec<AttributeValues>) {
        let attributes = [
            ("objectClass", "msDS-Device"),
            ("displayName", "LAPTOP"),
            ("altSecurityIdentities", "X509:<SHA1-TP-PUBKEY>a"),
            ("msDS-DeviceID", "0123456789abcdef"),
            ("msDS-IsEnabled", "TRUE"),
        ];
        let attributes = attributes
            .map(|(name, value)| (name.to_owned(), vec![value.as_bytes().to_vec()]))
            .to_vec();
        (format!("CN={name},{DEVICES}"), attributes)
    }

    #[test]
    fn the_forest_is_whole() {
        let directory = directory();
        let sid = |dn: &str| directory.entry(dn).unwrap().values("objectSid").to_vec();
        assert_eq!(sid(BASE), [Sid::parse(DOMAIN_SID).unwrap().to_bytes()]);
        assert_eq!(OIDS.len(), Attribute::ALL.len());
        let aggregate = directory.entry(&format!("CN=Aggregate,{SCHEMA}")).unwrap();
        assert_eq!(aggregate.values("attributeTypes").len(), 22);
        let names = directory.children(USERS).len();
        assert_eq!(
            names,
            1 + usize::try_from(Options::default().users).unwrap()
        );
    }

    #[test]
    fn a_search_of_the_domain_names_the_contexts_below() {
        let directory = directory();
        let any = Filter::Present("objectClass".into());
        let (found, references) = directory.find(BASE, Scope::Subtree, &any).unwrap();
        assert!(
            found
                .iter()
                .all(|key| !key.contains(&"cn=configuration".to_owned()))
        );
        assert_eq!(
            references,
            [
                "ldap://contoso.com/CN=Configuration,DC=contoso,DC=com",
                "ldap://child.contoso.com/DC=child,DC=contoso,DC=com",
                "ldap://DomainDnsZones.contoso.com/DC=DomainDnsZones,DC=contoso,DC=com",
            ]
        );
        let elsewhere = directory
            .find("DC=other,DC=com", Scope::Base, &any)
            .unwrap_err();
        assert_eq!(elsewhere.referrals, ["ldap://other.com/DC=other,DC=com"]);
        let child = directory.find("CN=x,DC=child,DC=contoso,DC=com", Scope::Base, &any);
        assert_eq!(child.unwrap_err().code, code::REFERRAL);
        let missing = directory
            .find(&format!("CN=x,{USERS}"), Scope::Base, &any)
            .unwrap_err();
        assert_eq!((missing.code, missing.matched_dn.as_str()), (32, USERS));
    }

    #[test]
    fn devices_are_checked_as_the_schema_has_them() {
        let mut directory = directory();
        let (dn, attributes) = device("a");
        assert_eq!(directory.add(&dn, &attributes).code, code::SUCCESS);
        assert_eq!(directory.add(&dn.to_uppercase(), &attributes).code, 68);
        let outside = format!("CN=a,{USERS}");
        assert_eq!(directory.add(&outside, &attributes).code, 64);
        let nowhere = format!("CN=a,CN=Nowhere,{BASE}");
        assert_eq!(directory.add(&nowhere, &attributes).code, 32);
        let (other, mut fewer) = device("b");
        fewer.pop();
        assert_eq!(directory.add(&other, &fewer).code, 65);
        fewer.push(("noSuchAttr".into(), vec![b"x".to_vec()]));
        assert_eq!(directory.add(&other, &fewer).code, 16);
        assert_eq!(directory.delete(DEVICES).code, 66);
        assert_eq!(directory.delete(&dn).code, 0);
        assert_eq!(directory.delete(&dn).code, 32);
    }

    #[test]
    fn a_modify_is_all_or_nothing_and_finds_its_object_by_guid() {
        let mut directory = directory();
        let (dn, attributes) = device("a");
        directory.add(&dn, &attributes);
        let guid = directory.entry(&dn).unwrap().values("objectGUID")[0].clone();
        let by_guid = format!("<GUID={}>", Guid::from_le_slice(&guid).unwrap());
        let change = |kind, name: &str, value: &str| {
            (kind, (name.to_owned(), vec![value.as_bytes().to_vec()]))
        };
        let good = [
            change(ModifyKind::Delete, "displayName", "laptop"),
            change(ModifyKind::Add, "displayName", "DESKTOP"),
        ];
        assert_eq!(directory.modify(&by_guid, &good, false).code, 0);
        assert_eq!(
            directory.entry(&dn).unwrap().text("displayName").unwrap(),
            "DESKTOP"
        );
        let bad = [
            change(ModifyKind::Replace, "displayName", "X"),
            change(ModifyKind::Delete, "altSecurityIdentities", "absent"),
        ];
        assert_eq!(directory.modify(&dn, &bad, false).code, 16);
        assert_eq!(
            directory.entry(&dn).unwrap().text("displayName").unwrap(),
            "DESKTOP"
        );
        assert_eq!(directory.modify(&dn, &bad, true).code, 0);
        let second = [change(ModifyKind::Add, "displayName", "Y")];
        assert_eq!(directory.modify(&dn, &second, false).code, 20);
        assert_eq!(directory.delete(&by_guid).code, 0);
        assert_eq!(directory.delete(&by_guid).code, 32);
    }
}

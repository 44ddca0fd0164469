//! An empty prepared domain, for a file that is not there yet.

use device_writeback_core::dn::Dn;
use device_writeback_core::guid::ObjectGuid;
use device_writeback_core::ldif::{write_attr, write_comment, write_version};
use device_writeback_core::schema::CONTAINER_CLASS;
use device_writeback_engine::error::{Error, ErrorKind};
use sha2::{Digest, Sha256};

use super::LdifOptions;

/// What AD FS sets on the registration service when it prepares a forest ([MS-DVRE] and
/// `Initialize-ADDeviceRegistration`): devices per user, and days until an unused device is deleted.
const REGISTRATION_QUOTA: &str = "10";
const INACTIVITY_DAYS: &str = "90";

/// The domain as LDIF: the domain object, what Active Directory's own preparation for device
/// registration creates, and nobody in it.
///
/// Every `objectGUID` and the domain's SID follow from the names alone. The same domain is thus
/// seen each time until the first commit writes it down, and a plan made before fits after.
pub(super) fn prepared(options: &LdifOptions) -> Result<Vec<u8>, Error> {
    let base = &options.base;
    let fail = |message: String| {
        Error::new(
            ErrorKind::Config,
            format!(
                "preparing an empty directory for {}: {message}",
                options.path.display()
            ),
        )
        .with_remedy("correct base and container, or name an existing directory file")
    };
    if base.rdn().is_none_or(|rdn| rdn.kind() != "DC") {
        return Err(fail(format!(
            "the base \"{base}\" is not the DN of a domain"
        )));
    }
    let devices = match &options.container {
        None => base.child("CN", "RegisteredDevices"),
        Some(container) if container.is_child_of(base) => container.clone(),
        Some(container) => {
            return Err(fail(format!(
                "the container \"{container}\" is not directly under the base \"{base}\", where alone one can be"
            )));
        }
    };
    let configuration = base.child("CN", "Configuration");
    let services = configuration.child("CN", "Services");
    let registration = services.child("CN", "Device Registration Configuration");
    let registration_services = registration.child("CN", "Device Registration Services");
    let service = registration_services.child("CN", "DeviceRegistrationService");

    let mut out = Vec::new();
    write_version(&mut out);
    write_comment(&mut out, "An empty domain, prepared for device writeback.");
    out.push(b'\n');
    let mut object = |dn: &Dn, classes: &[&str], attributes: &[(&str, &[u8])]| {
        write_attr(&mut out, "dn", dn.to_string().as_bytes());
        write_attr(&mut out, "objectClass", b"top");
        for class in classes {
            write_attr(&mut out, "objectClass", class.as_bytes());
        }
        if let Some(rdn) = dn.rdn() {
            write_attr(
                &mut out,
                &rdn.kind().to_ascii_lowercase(),
                rdn.value().as_bytes(),
            );
        }
        for (name, value) in attributes {
            write_attr(&mut out, name, value);
        }
        let guid = derived_guid(dn).to_le_bytes();
        write_attr(&mut out, "objectGUID", &guid);
        out.push(b'\n');
    };
    object(
        base,
        &["domain", "domainDNS"],
        &[("objectSid", &derived_sid(base))],
    );
    object(&base.child("CN", "Users"), &["container"], &[]);
    object(&configuration, &["configuration"], &[]);
    object(&services, &["container"], &[]);
    object(&registration, &["container"], &[]);
    object(
        &registration_services,
        &["msDS-DeviceRegistrationServiceContainer"],
        &[],
    );
    object(&devices, &[CONTAINER_CLASS], &[]);
    object(
        &service,
        &["msDS-DeviceRegistrationService"],
        &[
            ("msDS-DeviceLocation", devices.to_string().as_bytes()),
            ("msDS-IsEnabled", b"TRUE"),
            ("msDS-RegistrationQuota", REGISTRATION_QUOTA.as_bytes()),
            (
                "msDS-MaximumRegistrationInactivityPeriod",
                INACTIVITY_DAYS.as_bytes(),
            ),
        ],
    );
    Ok(out)
}

/// A GUID of the vendor's own making ([RFC 9562] 5.8) for the object of that name.
fn derived_guid(dn: &Dn) -> ObjectGuid {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = hash("objectGUID", dn);
    let (g, i) = (g & 0x0f | 0x80, i & 0x3f | 0x80);
    ObjectGuid::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

/// A domain SID, `S-1-5-21` and three numbers, in the packet form.
fn derived_sid(base: &Dn) -> Vec<u8> {
    let mut sid = vec![1, 4, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
    sid.extend(hash("objectSid", base).into_iter().take(12));
    sid
}

fn hash(what: &str, dn: &Dn) -> [u8; 32] {
    Sha256::digest(format!(
        "device-writeback prepared domain\n{what}\n{}",
        dn.normalized()
    ))
    .into()
}

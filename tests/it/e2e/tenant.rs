//! A made-up tenant in which something is to be done of every kind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::product;

/// The tenant of the made-up devices.
pub(crate) const TENANT: &str = "6babcaad-604b-40ac-a9d7-9fd97c0b779f";

/// How many devices, and what becomes of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Devices that the cloud has.
    pub(crate) live: usize,
    /// Devices with an object of which a removal record tells.
    pub(crate) removed: usize,
    /// Devices with an object that the cloud does not name any more.
    pub(crate) absent: usize,
    /// One in so many live devices has no object yet.
    pub(crate) new_in: usize,
    /// One in so many live devices is disabled in the cloud.
    pub(crate) disabled_in: usize,
    /// In so many of a hundred objects one attribute differs.
    pub(crate) changed_percent: usize,
}

impl Size {
    fn objects(self) -> usize {
        self.live + self.removed + self.absent
    }
}

/// Objects that are not ours, with everything that an untidy file may have.
const FOREIGN: &str = "\
# A device that AD FS registered itself. Its lines are folded as no program of ours folds them.
dn: CN=a2f4c1d0-7b1e-4a55-9d0c-5e6f7a8b9c0d,CN=RegisteredDevices,DC=contoso,
 DC=com
objectClass: top
objectClass: msDS-Device
cn: a2f4c1d0-7b1e-4a55-9d0c-
 5e6f7a8b9c0d
displayname:   PHONE-OF-ADFS
AltSecurityIdentities: X509:<SHA1-TP-PUBKEY>0123456789ABCDEF0123456789ABCDEF01234567AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
msDS-DeviceID:: 0MH0oh57VUqdDF5veoucDQ==
msDS-IsEnabled: TRUE
objectGUID:: AAECAwQFBgcICQoLDA0ODw==
# A remark within an object.
unknownAttribute:: AP8=


dn: CN=printer,CN=RegisteredDevices,DC=contoso,DC=com
objectClass: top
objectClass: container
cn: printer
objectGUID:: EAECAwQFBgcICQoLDA0ODw==
";

/// The files of a tenant: `devices.ndjson`, `users.json` and `directory.ldif`.
#[derive(Debug)]
pub(crate) struct Tenant {
    /// Where they lie.
    pub(crate) folder: PathBuf,
    /// The source before anything happened: it names every device that has an object.
    pub(crate) devices_before: PathBuf,
}

impl Tenant {
    /// Makes a tenant in `folder`.
    pub(crate) fn make(folder: &Path, size: Size) -> Tenant {
        let (before, after) = (folder.join("before"), folder.join("after"));
        for (part, count) in [(&before, size.objects()), (&after, size.live)] {
            let said = product::python(
                "make_devices.py",
                &[
                    count.to_string().as_ref(),
                    part.as_os_str(),
                    "--users".as_ref(),
                    "200".as_ref(),
                    "--changed".as_ref(),
                    size.changed_percent.to_string().as_ref(),
                ],
            );
            said.expect(0);
        }
        let devices = devices(&before.join("devices.ndjson"));
        happen(&after.join("devices.ndjson"), &devices, size);
        let directory = fs::read_to_string(before.join("directory.ldif")).unwrap();
        let directory = without_new(&directory, &devices, size);
        fs::write(after.join("directory.ldif"), directory + FOREIGN).unwrap();
        Tenant {
            folder: after,
            devices_before: before.join("devices.ndjson"),
        }
    }

    /// A configuration for this tenant whose directory and state lie in the folder `work` beside it.
    pub(crate) fn config(&self, path: &Path, devices: &Path, more: &str) -> PathBuf {
        let text = format!(
            "tenant_id = {TENANT:?}\n\
             [source]\nkind = \"file\"\npath = {:?}\nusers = {:?}\n\
             [state]\npath = \"work/state.db\"\n\
             [limits]\nmax_retirements = 300\n\
             [directory]\nkind = \"ldif\"\npath = \"work/directory.ldif\"\n\
             base = \"DC=contoso,DC=com\"\nschema = \"2016\"\n{more}\n",
            devices,
            self.folder.join("users.json"),
        );
        fs::write(path, text).unwrap();
        path.to_owned()
    }

    /// The source as it is now.
    pub(crate) fn devices(&self) -> PathBuf {
        self.folder.join("devices.ndjson")
    }

    /// The directory as it is found.
    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.join("directory.ldif")
    }
}

fn pages(path: &Path) -> impl Iterator<Item = Value> {
    let file = BufReader::new(fs::File::open(path).unwrap());
    file.lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// Device id and object id of every device, in their order.
fn devices(path: &Path) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    pages(path)
        .flat_map(|page| page["value"].as_array().unwrap().clone())
        .map(|device| (text(&device["deviceId"]), text(&device["id"])))
        .collect()
}

/// Disables some devices, and tells of the removal of others on a page of its own.
fn happen(path: &Path, devices: &[(String, String)], size: Size) {
    let mut number = 0;
    let mut text = Vec::new();
    let link = "https://graph.microsoft.com/v1.0/devices?$skiptoken=more";
    for mut page in pages(path) {
        for device in page["value"].as_array_mut().unwrap() {
            device["accountEnabled"] = json!(number % size.disabled_in != size.disabled_in - 1);
            number += 1;
        }
        // Another page follows.
        page["@odata.nextLink"] = json!(link);
        serde_json::to_writer(&mut text, &page).unwrap();
        text.push(b'\n');
    }
    let removed = devices.get(size.live..size.live + size.removed).unwrap();
    let removed: Vec<Value> = removed
        .iter()
        .map(|(_, object)| json!({"id": object, "@removed": {"reason": "deleted"}}))
        .collect();
    serde_json::to_writer(&mut text, &json!({ "value": removed })).unwrap();
    fs::File::create(path).unwrap().write_all(&text).unwrap();
}

/// Takes out the objects of devices that are to be new.
fn without_new(directory: &str, devices: &[(String, String)], size: Size) -> String {
    let mut text = directory.to_owned();
    for (device, _) in devices.iter().take(size.live).step_by(size.new_in) {
        let start = text.find(&format!("dn: CN={device},")).unwrap();
        let length = text[start..].find("\n\n").unwrap() + 2;
        text.replace_range(start..start + length, "");
    }
    text
}

//! Networks of their own for domain controllers and a client: Linux network namespaces on a bridge
//! that leads nowhere else.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::LabError;
use crate::lab::run_to_success;

/// Files here take the place of those in `/etc` below `ip netns exec` (ip-netns(8)).
const CONFIGURATION: &str = "/etc/netns";

const TIMEOUT: Duration = Duration::from_secs(60);

/// The machines of a network, in the order of their addresses.
pub(crate) const MACHINES: [&str; 3] = ["dc1", "dc2", "client"];

/// A network. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Network {
    name: String,
    /// For the output of the programs that make it.
    folder: PathBuf,
}

impl Network {
    /// Makes it, or makes it anew where a killed process left one of this name.
    pub(crate) fn make(name: &str, folder: &Path) -> Result<Network, LabError> {
        let network = Network {
            name: name.to_owned(),
            folder: folder.to_owned(),
        };
        network.remove();
        let wire = network.namespace("wire");
        network.ip(&["netns", "add", &wire]).map_err(may_not)?;
        network
            .ip(&["-n", &wire, "link", "add", "bridge", "type", "bridge"])
            .map_err(may_not)?;
        network.ip(&["-n", &wire, "link", "set", "bridge", "up"])?;
        for machine in MACHINES {
            let namespace = network.namespace(machine);
            let inside = ["-n", &namespace];
            network.ip(&["netns", "add", &namespace])?;
            network.ip(&[&inside[..], &["link", "set", "lo", "up"]].concat())?;
            let pair = [
                "link", "add", "eth0", "type", "veth", "peer", "name", machine,
            ];
            network.ip(&[&inside[..], &pair, &["netns", &wire]].concat())?;
            network.ip(&[
                "-n", &wire, "link", "set", machine, "master", "bridge", "up",
            ])?;
            let address = format!("{}/24", address(machine));
            network.ip(&[&inside[..], &["address", "add", &address, "dev", "eth0"]].concat())?;
            network.ip(&[&inside[..], &["link", "set", "eth0", "up"]].concat())?;
        }
        Ok(network)
    }

    /// The namespace of a machine.
    pub(crate) fn namespace(&self, machine: &str) -> String {
        format!("{}-{machine}", self.name)
    }

    /// Pulls a machine's cable, or puts it back.
    pub(crate) fn connect(&self, machine: &str, up: bool) -> Result<(), LabError> {
        let wire = self.namespace("wire");
        let state = if up { "up" } else { "down" };
        self.ip(&["-n", &wire, "link", "set", machine, state])
    }

    /// Tells every machine the names of the others. There is no name server.
    ///
    /// `aliases` has for every controller the names it has besides its own.
    pub(crate) fn name_machines(&self, aliases: &[(&str, &str)]) -> Result<(), LabError> {
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for (machine, names) in aliases {
            let address = address(machine);
            let _ = writeln!(hosts, "{address} {machine}.contoso.test {machine} {names}");
        }
        let failed = || LabError::file("write the names of a network's machines");
        for machine in MACHINES {
            let folder = self.configuration(machine);
            fs::create_dir_all(&folder).map_err(failed())?;
            fs::write(folder.join("hosts"), &hosts).map_err(failed())?;
            fs::write(folder.join("resolv.conf"), "").map_err(failed())?;
        }
        Ok(())
    }

    fn configuration(&self, machine: &str) -> PathBuf {
        Path::new(CONFIGURATION).join(self.namespace(machine))
    }

    fn remove(&self) {
        for machine in MACHINES.iter().chain(&["wire"]) {
            let namespace = self.namespace(machine);
            if Path::new("/run/netns").join(&namespace).exists() {
                let _ = self.ip(&["netns", "delete", &namespace]);
            }
            let _ = fs::remove_dir_all(self.configuration(machine));
        }
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), LabError> {
        let mut command = Command::new("ip");
        command.args(arguments);
        run_to_success(&mut command, b"", &self.folder, TIMEOUT).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The address of a machine in every network: networks do not see each other.
pub(crate) fn address(machine: &str) -> Ipv4Addr {
    let position = MACHINES.iter().position(|name| *name == machine);
    let number = position.map_or(0, |position| position + 1);
    Ipv4Addr::new(10, 99, 0, u8::try_from(number).unwrap_or_default())
}

/// The first steps fail where the system does not let us make networks at all.
fn may_not(error: LabError) -> LabError {
    let LabError::Failed { stderr, .. } = error else {
        return error;
    };
    LabError::Missing {
        what: format!("make a network namespace: {stderr}"),
        remedy: "run the tests as root with CAP_SYS_ADMIN and CAP_NET_ADMIN, on a kernel with \
                 network namespaces, bridges and veth",
    }
}

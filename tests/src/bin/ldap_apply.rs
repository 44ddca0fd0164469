//! Our own adapter for `cargo xtask bench ldap`: the directory port over LDAP, kept as full as its window allows, without
//! the rest of the product around it. Against a domain controller it tells what share of the work is the client's.

use std::process::ExitCode;
use std::time::Instant;

use device_writeback_core::apply::{Modification, ModificationKind, Operation, ResultCode, Target};
use device_writeback_core::dn::Dn;
use device_writeback_core::plan::Octets;
use device_writeback_engine::error::Error;
use device_writeback_engine::ports::{Directory as _, DirectoryImport as _};
use device_writeback_ldap::{Auth, LdapDirectory, LdapOptions, Password, Roots, ServerUrl};
use device_writeback_tests::ldap_bench::{Arguments, Device, Job, Swap, ended, line};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

fn main() -> ExitCode {
    ended(run())
}

fn run() -> Result<String, String> {
    let arguments = Arguments::of_process()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))?;
    runtime.block_on(async {
        let directory = open(&arguments)?;
        // Connects, and finds out what the forest is like.
        directory.facts().await.map_err(told)?;
        match arguments.job {
            Job::Read => read(&directory).await,
            job => write(&directory, job, arguments.devices()?).await,
        }
    })
}

fn open(arguments: &Arguments) -> Result<LdapDirectory, String> {
    let certificates = std::fs::read(&arguments.ca_file)
        .map_err(|error| format!("reading {}: {error}", arguments.ca_file))?;
    let auth = Auth::Simple {
        name: arguments.bind_dn.clone(),
        password: Password::new(arguments.password.clone()),
    };
    let server = ServerUrl::parse(&arguments.url).map_err(told)?;
    let mut options = LdapOptions::new(vec![server], Roots::Pem(certificates), auth);
    options.base = Some(arguments.base.clone());
    options.container = Some(arguments.container());
    options.max_in_flight = arguments.window;
    LdapDirectory::open(options).map_err(told)
}

async fn write(
    directory: &LdapDirectory,
    job: Job,
    devices: Vec<Device>,
) -> Result<String, String> {
    let operations: Result<Vec<Operation>, String> = devices
        .into_iter()
        .map(|device| operation(job, device))
        .collect();
    let operations = operations?;
    let begun = Instant::now();
    let (mut waiting, mut failed) = (operations.iter(), 0);
    let mut in_flight = FuturesUnordered::new();
    loop {
        while in_flight.len() < directory.window()
            && let Some(operation) = waiting.next()
        {
            in_flight.push(directory.write(operation));
        }
        let Some(result) = in_flight.next().await else {
            break;
        };
        let done = result.is_ok_and(|result| result.code == ResultCode::SUCCESS);
        failed += usize::from(!done);
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(line(
        "ldap_apply",
        job,
        operations.len(),
        failed,
        seconds,
        0,
    ))
}

async fn read(directory: &LdapDirectory) -> Result<String, String> {
    let begun = Instant::now();
    let (mut count, mut bytes) = (0, 0);
    let mut import = directory.import().await.map_err(told)?;
    while let Some(objects) = import.next_page().await.map_err(told)? {
        count += objects.len();
        for object in &objects {
            let values = object.values.iter().map(|(_, value)| value.len());
            let guid = object.guid.map_or(0, |guid| guid.to_le_bytes().len());
            bytes += guid + values.sum::<usize>();
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(line("ldap_apply", Job::Read, count, 0, seconds, bytes))
}

fn operation(job: Job, device: Device) -> Result<Operation, String> {
    let swaps = match job {
        Job::Modify => device.swaps()?.to_vec(),
        _ => Vec::new(),
    };
    let dn = Dn::parse(&device.dn).map_err(|error| error.to_string())?;
    let target = |dn| Target { dn, guid: None };
    match job {
        Job::Add => {
            let attributes = device.attributes.into_iter();
            let attributes = attributes
                .map(|(name, values)| (name, values.into_iter().map(Octets).collect()))
                .collect();
            Ok(Operation::Add { dn, attributes })
        }
        Job::Modify => {
            let change = |kind, name, value| Modification {
                kind,
                name,
                values: vec![Octets(value)],
            };
            let both = |Swap { name, old, new }| {
                [
                    change(ModificationKind::Delete, name, old),
                    change(ModificationKind::Add, name, new),
                ]
            };
            Ok(Operation::Modify {
                target: target(dn),
                modifications: swaps.into_iter().flat_map(both).collect(),
            })
        }
        Job::Delete => Ok(Operation::Delete { target: target(dn) }),
        Job::Read => Err("a read sends no device".to_owned()),
    }
}

/// An error with its causes.
fn told(error: Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

//! The bare `ldap3` crate for `cargo xtask bench ldap`: N tasks share one connection over TLS and take the next request
//! each; reading is a paged search whose entries are decoded as the crate does it.
#![allow(
    clippy::disallowed_methods,
    reason = "the bare crate is what is measured; results are looked at here"
)]

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use device_writeback_tests::ldap_bench::{
    Arguments, DEVICE_FILTER, Device, Job, PAGE, ended, line, read_attributes, tls,
};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Mod, Scope, SearchEntry};
use tokio::task::LocalSet;

type Values = HashSet<Vec<u8>>;

/// A request in the crate's own types.
enum Request {
    Add(String, Vec<(Vec<u8>, Values)>),
    Modify(String, Vec<Mod<Vec<u8>>>),
    Delete(String),
}

fn main() -> ExitCode {
    ended(run())
}

fn run() -> Result<String, String> {
    let arguments = Arguments::of_process()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))?;
    LocalSet::new().block_on(&runtime, async {
        match arguments.job {
            Job::Read => read(&arguments).await,
            _ => write(&arguments).await,
        }
    })
}

async fn connect(arguments: &Arguments) -> Result<Ldap, String> {
    let failed = |error: LdapError| format!("connecting to {}: {error}", arguments.url);
    let settings = LdapConnSettings::new().set_config(tls(Path::new(&arguments.ca_file))?);
    let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &arguments.url)
        .await
        .map_err(failed)?;
    // An error of the connection is one of every request on it.
    tokio::task::spawn_local(async move { drop(connection.drive().await) });
    let bind = ldap.simple_bind(&arguments.bind_dn, &arguments.password);
    bind.await
        .and_then(ldap3::LdapResult::success)
        .map_err(failed)?;
    Ok(ldap)
}

async fn write(arguments: &Arguments) -> Result<String, String> {
    let requests: Result<Vec<Request>, String> = arguments
        .devices()?
        .into_iter()
        .map(|device| request(arguments.job, device))
        .collect();
    let requests = requests?;
    let count = requests.len();
    let ldap = connect(arguments).await?;
    let waiting = Rc::new(RefCell::new(requests.into_iter()));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..arguments.window)
        .map(|_| tokio::task::spawn_local(send(ldap.clone(), Rc::clone(&waiting))))
        .collect();
    let mut failed = 0;
    for task in tasks {
        failed += task.await.map_err(|error| error.to_string())?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(line("ldap3_loop", arguments.job, count, failed, seconds, 0))
}

/// Sends one request after the other until none waits; how many had no success.
async fn send(mut ldap: Ldap, waiting: Rc<RefCell<std::vec::IntoIter<Request>>>) -> usize {
    let mut failed = 0;
    loop {
        let next = waiting.borrow_mut().next();
        let result = match next {
            Some(Request::Add(dn, attributes)) => ldap.add(&dn, attributes).await,
            Some(Request::Modify(dn, changes)) => ldap.modify(&dn, changes).await,
            Some(Request::Delete(dn)) => ldap.delete(&dn).await,
            None => return failed,
        };
        failed += usize::from(!result.is_ok_and(|result| result.rc == 0));
    }
}

fn request(job: Job, device: Device) -> Result<Request, String> {
    match job {
        Job::Add => {
            let attributes = device.attributes.into_iter();
            let attributes = attributes
                .map(|(name, values)| (name.as_bytes().to_vec(), values.into_iter().collect()));
            Ok(Request::Add(device.dn, attributes.collect()))
        }
        Job::Modify => {
            let changes = device.swaps()?.into_iter().flat_map(|swap| {
                let name = swap.name.as_bytes().to_vec();
                [
                    Mod::Delete(name.clone(), HashSet::from([swap.old])),
                    Mod::Add(name, HashSet::from([swap.new])),
                ]
            });
            Ok(Request::Modify(device.dn, changes.collect()))
        }
        Job::Delete => Ok(Request::Delete(device.dn)),
        Job::Read => Err("a read sends no device".to_owned()),
    }
}

async fn read(arguments: &Arguments) -> Result<String, String> {
    let failed = |error: LdapError| format!("reading {}: {error}", arguments.container());
    let mut ldap = connect(arguments).await?;
    let container = arguments.container().to_string();
    let begun = Instant::now();
    let adapters: Vec<Box<dyn Adapter<'_, _, _>>> = vec![
        Box::new(EntriesOnly::new()),
        Box::new(PagedResults::new(PAGE)),
    ];
    let mut found = ldap
        .streaming_search_with(
            adapters,
            &container,
            Scope::OneLevel,
            DEVICE_FILTER,
            read_attributes(),
        )
        .await
        .map_err(failed)?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(entry) = found.next().await.map_err(failed)? {
        let entry = SearchEntry::construct(entry);
        let texts = entry.attrs.values().flatten().map(String::len);
        let octets = entry.bin_attrs.values().flatten().map(Vec::len);
        bytes += texts.chain(octets).sum::<usize>();
        count += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    found.finish().await.success().map_err(failed)?;
    Ok(line("ldap3_loop", Job::Read, count, 0, seconds, bytes))
}

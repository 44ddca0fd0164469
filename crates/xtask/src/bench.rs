//! `cargo xtask bench`: the measured goals, as ratios in one run on one machine.

use std::ops::RangeInclusive;

use crate::Command;
use crate::run::{Failure, cargo, program, run, succeeds};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    arguments: "[file|ldap] [DEVICES]",
    about: "measure against the goals: files (1,000,000 devices unless said), or an LDAP server (50,000)",
    run: bench,
};

/// The package of the programs that are only measured with.
const TESTS: &str = "device-writeback-tests";

fn bench(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["file"] => file(1_000_000),
        ["ldap"] => ldap(50_000),
        ["file", devices] | [devices] => file(number(devices, 1_000..=10_000_000)?),
        ["ldap", devices] => ldap(number(devices, 10_000..=1_000_000)?),
        _ => Err(Failure::Usage(
            "bench takes file or ldap, and a number of devices".to_owned(),
        )),
    }
}

fn number(word: &str, range: RangeInclusive<u64>) -> Result<u64, Failure> {
    word.parse()
        .ok()
        .filter(|devices| range.contains(devices))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "bench takes a number from {} to {} here, not {word:?}",
                range.start(),
                range.end()
            ))
        })
}

/// Reading, joining and memory, from files.
fn file(devices: u64) -> Result<(), Failure> {
    build(&["stages"])?;
    run(program("python3").args(["-B", "tests/tools/bench.py", &devices.to_string()]))
}

/// Reading from and writing to a directory server.
fn ldap(devices: u64) -> Result<(), Failure> {
    let python = python()?;
    build(&[
        "delay_proxy",
        "ldap3_loop",
        "ldap_apply",
        "ldap_raw",
        "openldap_lab",
        "samba_lab",
    ])?;
    run(program(python).args(["-B", "tests/tools/bench_ldap.py", &devices.to_string()]))
}

/// The command line and these programs of the test crate.
fn build(programs: &[&str]) -> Result<(), Failure> {
    let release = ["build", "--release", "--locked", "-p"];
    run(cargo().args(release).arg("device-writeback-cli"))?;
    let mut command = cargo();
    command.args(release).arg(TESTS);
    for name in programs {
        command.args(["--bin", name]);
    }
    run(&mut command)
}

/// A Python that has python-ldap: the one in `PATH`, else the system's own.
fn python() -> Result<&'static str, Failure> {
    let has_ldap = |python: &&str| succeeds(program(python).args(["-c", "import ldap"]));
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(has_ldap)
        .ok_or_else(|| {
            Failure::new(
                "no python-ldap, which the script is written with that we are compared to; \
                 run `sudo apt-get install --no-install-recommends python3-ldap slapd ldap-utils openssl`",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_out_of_range_and_a_word_that_is_none_are_refused() {
        assert_eq!(number("1000", 1_000..=2_000).unwrap(), 1_000);
        for word in ["999", "2001", "many", "-5", ""] {
            assert!(matches!(
                number(word, 1_000..=2_000),
                Err(Failure::Usage(_))
            ));
        }
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for text in ["ldap 9999", "graph 1000", "file 1000 2000"] {
            assert!(matches!(bench(&words(text)), Err(Failure::Usage(_))));
        }
    }
}

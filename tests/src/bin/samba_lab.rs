//! A domain controller for `cargo xtask bench ldap`: prints its settings as one line of JSON, and for each line on its standard
//! input the processor seconds that its processes have used; lives until that closes.
#![allow(
    clippy::print_stdout,
    reason = "the settings and the figures are what this program is asked for"
)]

use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use device_writeback_tests::samba::{SambaDc, SambaOptions};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    let dc = SambaDc::start(&SambaOptions::default()).map_err(|error| error.to_string())?;
    let service = dc.service();
    println!(
        "{{\"ldaps_url\":\"{}\",\"ca_file\":{:?},\"bind_dn\":\"{}\",\"password\":\"{}\",\"base\":\"{}\",\"container\":\"{}\"}}",
        dc.ldaps_url(),
        dc.ca_file().display().to_string(),
        service.upn,
        service.password,
        dc.base_dn(),
        dc.devices_dn(),
    );
    let failed = |error: io::Error| error.to_string();
    io::stdout().flush().map_err(failed)?;
    for line in io::stdin().lock().lines() {
        line.map_err(failed)?;
        println!("{}", dc.cpu_seconds());
        io::stdout().flush().map_err(failed)?;
    }
    Ok(())
}

//! `man`: the manual page of the whole command, every verb in it.

use std::io::{self, Write};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use device_writeback::engine::Error;

use crate::args::{Args, EXIT_CODES};
use crate::exit::Exit;
use crate::output::Output;

pub(crate) fn run(output: Output) -> Result<Exit, Error> {
    let mut text = Vec::new();
    // Memory takes everything.
    let _ = page(&Args::command(), &mut text);
    output.write(|out| {
        let mut first = true;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // Every section comes with the definitions of a whole page.
            let definition = line.starts_with(b".ie ") || line.starts_with(b".el ");
            if first || !definition {
                out.write_all(line)?;
            }
            first &= definition;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

fn page(command: &Command, out: &mut dyn Write) -> io::Result<()> {
    let man = Man::new(command.clone())
        .title("DEVICE-WRITEBACK")
        .section("1");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    for verb in command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
    {
        section(command.get_name(), verb, out)?;
    }
    writeln!(out, ".SH \"EXIT STATUS\"\n.nf")?;
    // Under the heading that the help gives itself.
    for line in EXIT_CODES.lines().skip(1) {
        writeln!(out, "{}", line.trim_start())?;
    }
    writeln!(out, ".fi")?;
    man.render_version_section(out)
}

/// A verb: what would be sections of a page of its own are subsections here.
fn section(program: &str, verb: &Command, out: &mut dyn Write) -> io::Result<()> {
    let name = format!("{program} {}", verb.get_name());
    let man = Man::new(verb.clone().bin_name(&name));
    let mut text = Vec::new();
    man.render_description_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_options_section(&mut text)?;
    writeln!(out, ".SH \"{}\"", name.to_uppercase())?;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b".SH ") {
            Some(title) => {
                out.write_all(b".SS ")?;
                out.write_all(title)?;
            }
            None => out.write_all(line)?,
        }
    }
    Ok(())
}

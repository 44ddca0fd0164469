//! `show`: a saved plan, for readers.

use device_writeback::engine::Error;

use crate::args;
use crate::exit::Exit;
use crate::output::{Output, Places, write_plan};
use crate::text::counts;

use super::saved;

pub(crate) fn run(output: Output, args: &args::Show) -> Result<Exit, Error> {
    let plan = saved::read(&args.file)?;
    output.write(|out| {
        if output.quiet && output.format == args::OutputFormat::Text {
            return writeln!(out, "{}", counts(&plan));
        }
        let options = output.render_options(args.listing.all);
        write_plan(&plan, output.format.into(), &options, &Places::new(), out)
    })?;
    Ok(Exit::Done)
}

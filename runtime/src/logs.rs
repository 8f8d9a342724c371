//! The log of the process on stderr: one event a line, as JSON for machines or as text for people.

use std::{
    fmt,
    io::{self, IsTerminal},
    panic,
};

use tracing::{Dispatch, Event, Subscriber, dispatcher};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
};

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people; coloured if stderr is a terminal.
    Text,
}

/// A filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "log filter `{filter}`: {reason}; write a level (error, warn, info, debug, trace, off) or `target=level`, separated by commas"
)]
pub struct InvalidFilter {
    filter: String,
    reason: String,
}

/// Sends the events of this process, and its panics, to stderr under the name of `program`. `filter` is a level or a
/// list of `target=level`, such as `info,weft_proxy::breaker=debug`; empty means `info`.
///
/// The first call in a process decides; later ones change nothing.
///
/// # Errors
/// When `filter` cannot be understood.
pub fn init(program: &str, format: Format, filter: &str) -> Result<(), InvalidFilter> {
    let filter = parse(filter)?;
    let colour = format == Format::Text && io::stderr().is_terminal();
    let log = dispatch(program, format, filter, colour, io::stderr);
    if dispatcher::set_global_default(log).is_ok() {
        panic::set_hook(Box::new(|info| {
            let location = info.location().map(ToString::to_string);
            let text = info.payload_as_str().unwrap_or("without a message");
            tracing::error!(location, panic = text, "panic");
        }));
    }
    Ok(())
}

/// Whether [`init`] would take `filter`, and as it was meant, for those who hand it to another process: a word that
/// is no level would be taken for a target, and whoever misspells a level would see nothing.
///
/// # Errors
/// When `filter` cannot be understood.
pub fn check(filter: &str) -> Result<(), InvalidFilter> {
    parse(filter)?;
    let is_clear = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    match filter.split(',').find(|part| !is_clear(part)) {
        None => Ok(()),
        Some(part) => {
            Err(InvalidFilter { filter: filter.to_owned(), reason: format!("`{}` is no level", part.trim()) })
        }
    }
}

/// Targets and levels only: filters by span and field need an engine for regular expressions, which every sidecar would
/// carry.
fn parse(filter: &str) -> Result<Targets, InvalidFilter> {
    let given = if filter.trim().is_empty() { "info" } else { filter };
    given.parse().map_err(|error: tracing_subscriber::filter::ParseError| InvalidFilter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

fn dispatch<W>(program: &str, format: Format, filter: Targets, colour: bool, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log =
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer).with_ansi(colour);
    match format {
        // `{:?}` quotes a program's name as JSON does: it holds no control characters.
        Format::Json => log
            .json()
            .flatten_event(true)
            .map_event_format(|inner| Named {
                begin: format!("{{\"program\":{program:?},"),
                instead_of: 1,
                inner,
            })
            .finish()
            .with(filter)
            .into(),
        Format::Text => log
            .map_event_format(|inner| Named { begin: format!("{program} "), instead_of: 0, inner })
            .finish()
            .with(filter)
            .into(),
    }
}

/// Begins every line with the name of the program, for whoever reads the logs of several in one place.
struct Named<F> {
    begin: String,
    /// How many bytes of the line `begin` replaces.
    instead_of: usize,
    inner: F,
}

impl<S, N, F> FormatEvent<S, N> for Named<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&self.begin)?;
        writer.write_str(line.get(self.instead_of..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;

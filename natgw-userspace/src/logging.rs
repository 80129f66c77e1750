//! Sets up the log: to standard error, as text or one JSON object per line.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan, util::SubscriberInitExt};

use crate::{
    cli::LogFormat,
    exit::{Exit, Failure},
};

/// netlink-proto warns about every full socket buffer, which the link watch handles; kube logs every request that fails, as
/// whoever made the request does.
const QUIET: &str = "netlink_proto=error,kube_client::client::builder=off";

/// Starts logging at `level`, a level or a filter in the syntax of `RUST_LOG`.
///
/// # Errors
/// When the filter cannot be parsed.
pub fn init(format: LogFormat, level: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log-level `{level}` is not valid: {error}; try info or debug"))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE);
    // A log that cannot be written (a full disk, a closed pipe) is lost. Saying so on the same stream would panic.
    let builder = builder.log_internal_errors(false);
    let builder = builder.with_writer(io::stderr).with_ansi(colours(io::stderr().is_terminal()));
    let outcome = match format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => builder.with_target(false).finish().try_init(),
    };
    outcome.map_err(|error| Failure::new(Exit::Failure, format!("cannot start logging: {error}")))
}

/// Whether colours may be used on a stream: only on a terminal, and not with `NO_COLOR` (<https://no-color.org>).
#[must_use]
pub fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

//! `natgw status`, `rules` and `sessions`: what the pinned maps, the links and the lock say.
//!
//! Read only, and no daemon is needed: there is no other state than the kernel's. Each command collects a plain value
//! first and renders it as a table or as JSON.

mod overview;
mod rules;
mod sessions;
mod table;

use std::{
    io::{self, Write},
    path::Path,
};

use crate::{
    cli::{InspectArgs, Output, SessionsArgs, StatusArgs},
    datapath::{GatewayPaths, Maps, MapsError},
    exit::{Exit, Failure},
};

/// `natgw status`
///
/// # Errors
/// No such gateway, or its state cannot be read.
pub fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let (paths, maps) = open(&args.inspect)?;
    let overview = overview::Overview::collect(&paths, &maps, args.netns.as_deref())?;
    match args.inspect.output {
        Output::Table => print(overview.render().as_bytes()),
        Output::Json => print_json(&overview),
    }
}

/// `natgw rules`
///
/// # Errors
/// No such gateway, or its maps cannot be read.
pub fn rules(args: &InspectArgs) -> Result<Exit, Failure> {
    let (paths, maps) = open(args)?;
    let rules = rules::Rules::new(paths.gateway(), &maps.read_actual().map_err(|error| maps_failure(&error))?);
    match args.output {
        Output::Table => print(rules.render().as_bytes()),
        Output::Json => print_json(&rules),
    }
}

/// `natgw sessions`
///
/// # Errors
/// No such gateway, or its maps cannot be read.
pub fn sessions(args: &SessionsArgs) -> Result<Exit, Failure> {
    let (_, maps) = open(&args.inspect)?;
    let config = maps.config().map_err(|error| maps_failure(&error))?;
    let timeouts = config.map_or(natgw_common::abi::Timeouts::DEFAULT, |config| config.timeouts);
    let clock = sessions::Clock::now(timeouts)?;
    let filter = sessions::Filter::from(args);
    let found =
        maps.sessions().filter(|item| item.as_ref().map_or(true, |(key, session)| filter.matches(key, session)));
    let found = found.take(args.limit.unwrap_or(usize::MAX));
    let rows = found.map(|item| item.map(|(key, session)| sessions::Row::new(&key, &session, &clock)));
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match args.inspect.output {
        Output::Table => sessions::write_table(&mut out, rows),
        Output::Json => sessions::write_json(&mut out, rows),
    };
    finish(written.and_then(|()| out.flush()))
}

fn open(args: &InspectArgs) -> Result<(GatewayPaths, Maps), Failure> {
    let paths = select(&args.bpffs, args.gateway.as_deref())?;
    if !paths.exists().map_err(|error| Failure::from_error(Exit::Preflight, &error))? {
        return Err(no_gateway(&paths));
    }
    let maps = Maps::open(&paths).map_err(|error| maps_failure(&error))?;
    Ok((paths, maps))
}

/// The gateway that is named, or the only one there is.
fn select(bpffs: &Path, gateway: Option<&str>) -> Result<GatewayPaths, Failure> {
    if let Some(name) = gateway {
        return GatewayPaths::new(bpffs, name).map_err(|error| Failure::from_error(Exit::Usage, &error));
    }
    let mut all = GatewayPaths::list(bpffs).map_err(|error| Failure::from_error(Exit::Preflight, &error))?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            let names: Vec<&str> = all.iter().chain([&last]).map(GatewayPaths::gateway).collect();
            Err(Failure::new(
                Exit::Usage,
                format!("there are several gateways: {}; choose one with --gateway", names.join(", ")),
            ))
        }
        (None, _) => Err(Failure::new(
            Exit::NoGateway,
            format!(
                "there is no gateway below {}/natgw; is --bpffs right, and was `natgw run` started?",
                bpffs.display()
            ),
        )),
    }
}

/// The error for a gateway without pins.
#[must_use]
pub fn no_gateway(paths: &GatewayPaths) -> Failure {
    Failure::new(
        Exit::NoGateway,
        format!(
            "gateway `{}` has no data plane below {}; are --gateway and --bpffs right, and was `natgw run` started?",
            paths.gateway(),
            paths.root().display()
        ),
    )
}

fn maps_failure(error: &MapsError) -> Failure {
    let exit = match error {
        MapsError::NotPinned { .. } => Exit::NoGateway,
        MapsError::Abi(_) => Exit::Abi,
        MapsError::Full { .. } | MapsError::Map { .. } | MapsError::Random(_) => Exit::Failure,
    };
    Failure::from_error(exit, error)
}

/// Writes to standard output. A reader that went away (`| head`) has all it wanted.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn print(bytes: &[u8]) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    finish(out.write_all(bytes).and_then(|()| out.flush()))
}

fn print_json(value: &impl serde::Serialize) -> Result<Exit, Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
    text.push('\n');
    print(text.as_bytes())
}

fn finish(written: io::Result<()>) -> Result<Exit, Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failure, format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(Exit::Ok),
    }
}

//! Loading: adopt or create the maps, verify the programs, pin what must outlive the daemon.
//!
//! The order, and what a kill between any two steps leaves:
//! 1. directories: an empty tree, which the next start finds and fills;
//! 2. comparison of every pin with this build's layouts ([`super::abi_check`]); a refusal changes nothing. Maps of an
//!    older version go the way of [`super::migration`] from here;
//! 3. aya creates the maps that are not pinned and pins each at once: some maps of the right layout and no ABI record,
//!    which the next start adopts as an interrupted first start;
//! 4. the programs are verified: they belong to this process only and vanish with it. Until here nothing that is
//!    attached has been touched, so a program this kernel refuses costs nothing;
//! 5. the ABI record is written if it was not: from now on a missing pin is known to have been there once;
//! 6. `natgw_sweep` is pinned under a temporary name and renamed over the old pin: a temporary name, removed next time.
//!
//! Attaching comes later ([`super::attach`]), when the interfaces are there.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    pin::PinError as AyaPinError,
    programs::{Program, ProgramError, SchedClassifier},
};
use natgw_common::abi::{ABI_VERSION, MAPS, map, program};
use serde::Serialize;
use thiserror::Error;

use super::{
    abi_check::{self, AbiError, FoundMap},
    lock::Lock,
    maps::{self, Maps, MapsError},
    migration::{Chain, Migration, MigrationError, MigrationReport, Remains, places},
    pins::{GatewayPaths, Generation, PinError},
    sweep::{SweepError, Sweeper},
};

/// The object that `cargo xtask build-ebpf` made; empty when this binary was built without it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/natgw.o"));

/// How much of the verifier's log an error quotes: its end says what was wrong.
const LOG_LINES: usize = 25;

/// Choices of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// Capacity of `SESSIONS` and `FLOWS`, when they are made. Memory is taken at once: 104 + 80 bytes each.
    pub max_sessions: u32,
    /// Another eBPF object than the one embedded in this binary.
    pub object: Option<Vec<u8>>,
}

impl LoadOptions {
    /// Default capacity of the session tables.
    pub const MAX_SESSIONS: u32 = 1_048_576;
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { max_sessions: Self::MAX_SESSIONS, object: None }
    }
}

/// A loaded program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: &'static str,
    /// Kernel id.
    pub id: u32,
    /// Instructions the verifier walked; `None` before Linux 5.16.
    pub verified_instructions: Option<u32>,
}

/// What [`Datapath::load`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Maps that were pinned already.
    pub adopted: Vec<&'static str>,
    /// Maps made now.
    pub created: Vec<&'static str>,
    /// Maps of an older version were moved to this build's layouts.
    pub migrated: Option<MigrationReport>,
    /// What the operator should know, one sentence each.
    pub warnings: Vec<String>,
    /// The programs.
    pub programs: Vec<ProgramReport>,
    /// How long it took.
    pub elapsed: Duration,
}

/// The data plane could not be loaded. What was attached before still is.
#[derive(Debug, Error)]
pub enum LoadError {
    /// There is nothing to load.
    #[error("this binary was built without the eBPF object: run `cargo xtask build`")]
    NoObject,
    /// The pin directories cannot be used.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The pinned maps belong to another version.
    #[error(transparent)]
    Abi(#[from] AbiError),
    /// A map cannot be read or written.
    #[error(transparent)]
    Maps(#[from] MapsError),
    /// The object or its maps.
    #[error("cannot load the eBPF object: {}{}", maps::chain(.source), hint(.source))]
    Object {
        /// What aya says.
        source: EbpfError,
    },
    /// The object lacks a part.
    #[error("the eBPF object has no {kind} `{name}`: run `cargo xtask build` to build it anew")]
    Incomplete {
        /// Map or program.
        kind: &'static str,
        /// Which.
        name: &'static str,
    },
    /// The kernel refused a program.
    #[error("the kernel refused program `{program}`: {source}{}\nend of the verifier's log:\n{log}", verdict_hint(.source))]
    Verifier {
        /// The program.
        program: &'static str,
        /// The errno.
        source: io::Error,
        /// The last lines of the verifier's log.
        log: String,
    },
    /// Another failure around a program.
    #[error("cannot use program `{program}`: {}", maps::chain(.source))]
    Program {
        /// The program.
        program: &'static str,
        /// What aya says.
        source: ProgramError,
    },
    /// Maps of an older version could not be moved.
    #[error(
        "cannot move gateway `{gateway}` from version {from} of the maps to {}: {source}; {}",
        ABI_VERSION,
        match .committed {
            Committed::No => "the data plane keeps running as it is",
            Committed::Yes => "the data plane keeps running, and the next start goes on from here",
        }
    )]
    Migration {
        /// The gateway.
        gateway: String,
        /// The version it began with.
        from: u32,
        /// Which maps count now.
        committed: Committed,
        /// Why not.
        source: Box<MigrationError>,
    },
    /// The sweep program could not be pinned.
    #[error("cannot pin program `{}` at {}: {source}", program::SWEEP, path.display())]
    PinProgram {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Whether a migration that failed had already made the new maps the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The old ones count.
    No,
    /// The new ones do.
    Yes,
}

impl LoadError {
    fn migration(paths: &GatewayPaths, from: u32, committed: Committed) -> impl Fn(MigrationError) -> Self {
        let gateway = paths.gateway().to_owned();
        move |source| Self::Migration { gateway: gateway.clone(), from, committed, source: Box::new(source) }
    }
}

type Loaded = (Ebpf, Vec<ProgramReport>, Maps);

/// Loaded programs and their maps.
#[derive(Debug)]
pub struct Datapath {
    pub(super) ebpf: Ebpf,
    pub(super) paths: GatewayPaths,
    maps: Maps,
}

impl Datapath {
    /// Checks and adopts the pinned maps, moves them to this build's layouts or creates them, loads and verifies the
    /// programs. Attaches nothing; a migration replaces the programs of what is attached. Runs inside the target network
    /// namespace, where a migration looks for clsact filters.
    ///
    /// # Errors
    /// See [`LoadError`]; unless it says otherwise, the pinned state and whatever is attached are then as before.
    pub fn load(paths: &GatewayPaths, lock: &Lock, opts: &LoadOptions) -> Result<(Self, LoadReport), LoadError> {
        let start = Instant::now();
        debug_assert_eq!(lock.path(), paths.root());
        let object = opts.object.as_deref().unwrap_or(OBJECT);
        if object.is_empty() {
            return Err(LoadError::NoObject);
        }
        let abandoned = places::settle(paths)?;
        paths.create()?;
        let found = abi_check::read_pins(paths)?;
        let version = maps::abi_version(paths, &found)?;
        let (datapath, mut report) = match version.and_then(Chain::from) {
            Some(chain) => Self::migrate(paths, (&found, chain), opts, object)?,
            None => Self::adopt(paths, (&found, version), opts, object)?,
        };
        if abandoned {
            report
                .warnings
                .push("an upgrade of the maps had been interrupted before it counted; it began anew".to_owned());
        }
        report.elapsed = start.elapsed();
        Ok((datapath, report))
    }

    /// Maps of this build's version, or none.
    fn adopt(
        paths: &GatewayPaths,
        (found, version): (&[FoundMap], Option<u32>),
        opts: &LoadOptions,
        object: &[u8],
    ) -> Result<(Self, LoadReport), LoadError> {
        let expected = abi_check::expected(opts.max_sessions);
        let adoption = abi_check::compare(paths.gateway(), found, &expected, version)?;
        let remains = Remains::find(paths)?;
        let unfinished = match remains {
            Remains::Maps(from) => Some(Chain::from(from).ok_or_else(|| AbiError::Unfinished {
                gateway: paths.gateway().to_owned(),
                from,
                to: ABI_VERSION,
            })?),
            Remains::None | Remains::Rubbish => None,
        };
        let loaded = Self::load_checked(paths, opts.max_sessions, object).and_then(|mut loaded| {
            pin_sweep(&mut loaded.0, paths)?;
            if unfinished.is_none() {
                loaded.2.release()?;
            }
            Ok(loaded)
        });
        let (ebpf, programs, maps) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                // Nothing refers to the maps made for this attempt; they would only hold memory.
                for name in &adoption.missing {
                    let _not_even_made = fs::remove_file(paths.map(name));
                }
                return Err(error);
            }
        };
        let mut datapath = Self { ebpf, paths: paths.clone(), maps };
        let mut report = LoadReport {
            adopted: adoption.adopted,
            created: adoption.missing,
            migrated: None,
            warnings: adoption.warnings,
            programs,
            elapsed: Duration::ZERO,
        };
        if let Some(chain) = unfinished {
            let resumed = Migration::resume(paths, chain).and_then(|mut migration| {
                migration.gather()?;
                migration.finish(&mut datapath)
            });
            let failed = LoadError::migration(paths, chain.version(), Committed::Yes);
            report.migrated = Some(resumed.map_err(failed)?);
        } else if matches!(remains, Remains::Rubbish) {
            places::remove_old(paths, map::ABI)?;
        }
        Ok((datapath, report))
    }

    /// Maps of an older version.
    fn migrate(
        paths: &GatewayPaths,
        (found, chain): (&[FoundMap], Chain),
        opts: &LoadOptions,
        object: &[u8],
    ) -> Result<(Self, LoadReport), LoadError> {
        let from = chain.version();
        let known = abi_check::layouts(paths.gateway(), found, &chain.expected(found), true)?;
        match Remains::find(paths)? {
            Remains::Maps(older) => {
                return Err(AbiError::Unfinished { gateway: paths.gateway().to_owned(), from: older, to: from }.into());
            }
            Remains::Rubbish => places::remove_old(paths, map::ABI)?,
            Remains::None => {}
        }
        // Whatever the operator asks for now: the sessions that are there must find room.
        let capacity = found.iter().find(|found| found.name == map::SESSIONS).map(|found| found.max_entries);
        let next = paths.of(Generation::Next);
        next.create()?;
        let prepared = Self::load_checked(&next, capacity.unwrap_or(opts.max_sessions), object).and_then(|loaded| {
            let failed = LoadError::migration(paths, from, Committed::No);
            let mut migration = Migration::begin(paths, chain).map_err(&failed)?;
            let gathered = migration.gather().and_then(|()| Migration::commit(paths));
            gathered.inspect_err(|_| migration.give_up()).map_err(failed)?;
            Ok((loaded, migration))
        });
        let ((ebpf, programs, maps), migration) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                if let Err(error) = places::settle(paths) {
                    tracing::warn!(%error, "the maps made for the upgrade are still there");
                }
                return Err(error);
            }
        };
        let mut datapath = Self { ebpf, paths: paths.clone(), maps };
        let migrated = migration.finish(&mut datapath).map_err(LoadError::migration(paths, from, Committed::Yes))?;
        pin_sweep(&mut datapath.ebpf, paths)?;
        let mut warnings = known.warnings;
        if capacity.is_some_and(|capacity| capacity != opts.max_sessions) {
            warnings.push(format!(
                "the session table keeps its {} entries and is not made for the {} asked for",
                capacity.unwrap_or_default(),
                opts.max_sessions
            ));
        }
        let report = LoadReport {
            adopted: MAPS.iter().map(|spec| spec.name).collect(),
            created: Vec::new(),
            migrated: Some(migrated),
            warnings,
            programs,
            elapsed: Duration::ZERO,
        };
        Ok((datapath, report))
    }

    fn load_checked(paths: &GatewayPaths, max_sessions: u32, object: &[u8]) -> Result<Loaded, LoadError> {
        let mut loader = EbpfLoader::new();
        for spec in MAPS {
            loader.map_pin_path(spec.name, paths.map(spec.name));
        }
        for name in [map::SESSIONS, map::FLOWS] {
            loader.map_max_entries(name, max_sessions);
        }
        let mut ebpf = loader.load(object).map_err(|source| LoadError::Object { source })?;
        if let Some(spec) = MAPS.iter().find(|spec| ebpf.map(spec.name).is_none()) {
            return Err(LoadError::Incomplete { kind: "map", name: spec.name });
        }
        let programs = verify_all(&mut ebpf)?;
        // An object whose maps differ from the ABI it was built with is caught here, before anything uses it.
        let found = abi_check::read_pins(paths)?;
        abi_check::compare(paths.gateway(), &found, &abi_check::expected(max_sessions), None)?;
        let mut maps = Maps::open_checked(paths, &found)?;
        maps.ensure_record(&found)?;
        Ok((ebpf, programs, maps))
    }

    /// The maps.
    pub fn maps(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// A sweeper on these maps; it owns its descriptors and can move to another thread.
    ///
    /// # Errors
    /// The pins vanished.
    pub fn sweeper(&self) -> Result<Sweeper, SweepError> {
        Sweeper::open(&self.paths)
    }
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, LoadError> {
    let program = ebpf.program_mut(name).ok_or(LoadError::Incomplete { kind: "program", name })?;
    program.try_into().map_err(|source| LoadError::Program { program: name, source })
}

/// Verifies every program, each on a thread of its own: the kernel does so in parallel, and the two large programs take
/// 0.2 s each, nearly all of the time of a start.
fn verify_all(ebpf: &mut Ebpf) -> Result<Vec<ProgramReport>, LoadError> {
    const NAMES: [&str; 4] = [program::INT_IN, program::EXT_IN, program::EXT_OUT, program::SWEEP];
    let found: BTreeMap<_, _> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| Some((NAMES.iter().position(|wanted| *wanted == name)?, program)))
        .collect();
    if let Some(missing) = (0..NAMES.len()).find(|index| !found.contains_key(index)) {
        return Err(LoadError::Incomplete { kind: "program", name: NAMES[missing] });
    }
    thread::scope(|scope| {
        let running: Vec<_> =
            found.into_iter().map(|(index, program)| scope.spawn(move || verify(program, NAMES[index]))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn verify(program: &mut Program, name: &'static str) -> Result<ProgramReport, LoadError> {
    let program: &mut SchedClassifier =
        program.try_into().map_err(|source| LoadError::Program { program: name, source })?;
    program.load().map_err(|source| {
        if let ProgramError::LoadError { io_error, verifier_log } = source {
            return LoadError::Verifier { program: name, source: io_error, log: log_tail(&verifier_log.to_string()) };
        }
        LoadError::Program { program: name, source }
    })?;
    let info = program.info().map_err(|source| LoadError::Program { program: name, source })?;
    Ok(ProgramReport { name, id: info.id(), verified_instructions: info.verified_instruction_count() })
}

/// bpffs can rename over an existing pin, so there is no moment without a sweep program.
fn pin_sweep(ebpf: &mut Ebpf, paths: &GatewayPaths) -> Result<(), LoadError> {
    let (path, temporary) = (paths.sweep(), paths.progs().join("sweep_new"));
    let fail = |source| LoadError::PinProgram { path: path.clone(), source };
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        Ok(()) | Err(_) => {}
    }
    classifier(ebpf, program::SWEEP)?.pin(&temporary).map_err(|error| {
        fail(match error {
            AyaPinError::SyscallError(error) => error.io_error,
            AyaPinError::NoFd { .. } | AyaPinError::InvalidPinPath { .. } => io::Error::other(error),
        })
    })?;
    fs::rename(&temporary, &path).map_err(fail)
}

fn log_tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "(the kernel gave no log)".to_owned();
    }
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// What helps against an errno of `BPF_PROG_LOAD`.
fn verdict_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EACCES) => " (this kernel's verifier does not take it; those of Linux 6.1, 6.12 and 6.18 do)",
        _ => errno_hint(error),
    }
}

/// What helps against an errno of `BPF_MAP_CREATE` too.
fn errno_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM) => " (run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)",
        Some(libc::ENOMEM) => " (not enough memory: a smaller session table helps)",
        Some(libc::EINVAL) => " (an old kernel? `natgw run` needs Linux 5.15 or newer)",
        Some(libc::EACCES) => " (does a security module of this machine, such as SELinux, forbid it?)",
        Some(libc::E2BIG) => " (the program is too complex for this kernel's verifier)",
        _ => "",
    }
}

/// The hint of the first errno among an error's causes.
fn hint(error: &EbpfError) -> &'static str {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return errno_hint(io);
        }
        cause = current.source();
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_long_verifier_log_is_quoted() {
        let log = (0..1000).map(|n| format!("line {n}\n")).collect::<Vec<_>>().join("\n");
        let tail = log_tail(&log);
        assert_eq!(tail.lines().count(), LOG_LINES);
        assert!(tail.starts_with("line 975\n") && tail.ends_with("line 999"), "{tail}");
    }

    #[test]
    fn a_missing_log_is_said_to_be_missing() {
        assert_eq!(log_tail("\n"), "(the kernel gave no log)");
    }

    #[test]
    fn lacking_rights_are_answered_with_the_capabilities_needed() {
        let error = LoadError::Verifier {
            program: program::EXT_IN,
            source: io::Error::from_raw_os_error(libc::EPERM),
            log: log_tail("a\nb"),
        };
        let text = error.to_string();
        assert!(text.contains("`natgw_ext_in`") && text.contains("CAP_BPF") && text.ends_with("a\nb"), "{text}");
    }
}

//! The command line: what is accepted, and which function does it.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::Ipv4Addr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Deserialize;

use crate::{
    check,
    cluster::{crd, source::Watching},
    core::printable::printable_lines,
    exit::{self, Exit, Failure},
    logging,
    observe::{self, Listen},
    runtime, status,
};

/// Where the bpffs is mounted when nothing else is said.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// A Kubernetes NAT gateway whose data plane is eBPF and outlives its daemon.
#[derive(Debug, Parser)]
#[command(name = "natgw", version, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load or adopt the data plane of a gateway and keep it in step with the cluster or with manifests
    Run(Box<RunArgs>),
    /// Validate manifests without touching the kernel
    Check(CheckArgs),
    /// Show a gateway: daemon, hooks, map fill, counters, drop reasons
    Status(StatusArgs),
    /// Show the rules that are programmed
    Rules(InspectArgs),
    /// Show the sessions
    Sessions(SessionsArgs),
    /// Ask the running daemon whether it is alive or ready, for probes
    Probe(ProbeArgs),
    /// Remove the data plane of a gateway: programs, pins, addresses and routes it added
    Detach(DetachArgs),
    /// Print the custom resource definitions as YAML, for clusters without kube-ovn
    Crds(CrdsArgs),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// Options of `natgw run`. Unset ones come from the configuration file or the defaults.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Name of the `VpcNatGateway` to be
    #[arg(long, value_name = "NAME", env = "NATGW_GATEWAY")]
    pub gateway: Option<String>,
    /// Directory of kube-ovn manifests; changes are followed [default: watch the cluster]
    #[arg(long, value_name = "DIR", env = "NATGW_MANIFESTS")]
    pub manifests: Option<PathBuf>,
    /// Kubeconfig of the cluster [default: the pod's service account, else `$KUBECONFIG` or `~/.kube/config`]
    #[arg(long, value_name = "FILE", env = "NATGW_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", env = "NATGW_CONTEXT")]
    pub context: Option<String>,
    /// Which EIPs and rules of the cluster to watch; `labelled` needs kube-ovn's controller [default: all]
    #[arg(long, env = "NATGW_WATCH")]
    pub watch: Option<Watching>,
    /// Also write the status fields that kube-ovn's controller would write; only where there is none
    #[arg(long, env = "NATGW_OWN_STATUS", value_parser = clap::builder::FalseyValueParser::new())]
    pub own_status: bool,
    /// Network namespace of the gateway [default: the process's own]
    #[arg(long, value_name = "PATH", env = "NATGW_NETNS")]
    pub netns: Option<PathBuf>,
    /// Interface to the VPC [default: eth0]
    #[arg(long, value_name = "NAME", env = "NATGW_INTERNAL_INTERFACE")]
    pub internal_interface: Option<String>,
    /// Interface to the physical network [default: net1]
    #[arg(long, value_name = "NAME", env = "NATGW_EXTERNAL_INTERFACE")]
    pub external_interface: Option<String>,
    /// Mount point of the bpffs that holds the pins [default: /sys/fs/bpf]
    #[arg(long, value_name = "PATH", env = "NATGW_BPFFS")]
    pub bpffs: Option<PathBuf>,
    /// Let translated packets leave by `bpf_redirect_neigh`, or let the kernel route them [default: on]
    #[arg(long, env = "NATGW_REDIRECT")]
    pub redirect: Option<Switch>,
    /// What to do with VPC packets for the outside that no rule matches [default: forward]
    #[arg(long, env = "NATGW_UNMATCHED")]
    pub unmatched: Option<Unmatched>,
    /// How to hook the programs: TCX links (kernel 6.6) or clsact filters [default: auto]
    #[arg(long, env = "NATGW_ATTACH")]
    pub attach: Option<Attach>,
    /// How long to wait for another natgw of this gateway to end; 0s fails at once [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, env = "NATGW_LOCK_WAIT")]
    pub lock_wait: Option<Duration>,
    /// Capacity of the session table; only used when the maps are created [default: 1048576]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), env = "NATGW_MAX_SESSIONS")]
    pub max_sessions: Option<u32>,
    /// Where health and metrics are served: an address with a port, or `off` [default: 127.0.0.1:9808]
    #[arg(long, value_name = "ADDRESS:PORT", env = "NATGW_LISTEN")]
    pub listen: Option<Listen>,
    /// Configuration file (TOML); also holds timeouts, intervals and ports
    #[arg(long, value_name = "FILE", env = "NATGW_CONFIG")]
    pub config: Option<PathBuf>,
    /// Format of the log on standard error [default: text]
    #[arg(long, env = "NATGW_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Level or filter of the log, as in `RUST_LOG`, which counts when this is not given [default: info]
    #[arg(long, value_name = "FILTER", env = "NATGW_LOG_LEVEL")]
    pub log_level: Option<String>,
}

/// Options of `natgw check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Directory of kube-ovn manifests
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Only this gateway [default: every gateway that the manifests name]
    #[arg(long, value_name = "NAME", env = "NATGW_GATEWAY")]
    pub gateway: Option<String>,
    /// Output format
    #[arg(short, long, default_value = "table")]
    pub output: Output,
}

/// Options of `natgw crds`.
#[derive(Debug, Clone, Args)]
pub struct CrdsArgs {
    /// Only this kind, such as `IptablesEIP` [default: all]
    #[arg(long, value_name = "NAME", value_parser = crd::parse_kind)]
    pub kind: Option<String>,
}

/// Options of the commands that read a gateway's maps.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// Name of the gateway [default: the only one there is]
    #[arg(long, value_name = "NAME", env = "NATGW_GATEWAY")]
    pub gateway: Option<String>,
    /// Mount point of the bpffs that holds the pins
    #[arg(long, value_name = "PATH", default_value = DEFAULT_BPFFS, env = "NATGW_BPFFS")]
    pub bpffs: PathBuf,
    /// Output format
    #[arg(short, long, default_value = "table")]
    pub output: Output,
}

/// Options of `natgw status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// What to read and how to print it.
    #[command(flatten)]
    pub inspect: InspectArgs,
    /// Network namespace of the gateway, for interface names and clsact filters [default: the process's own]
    #[arg(long, value_name = "PATH", env = "NATGW_NETNS")]
    pub netns: Option<PathBuf>,
}

/// Options of `natgw sessions`.
#[derive(Debug, Clone, Args)]
pub struct SessionsArgs {
    /// What to read and how to print it.
    #[command(flatten)]
    pub inspect: InspectArgs,
    /// Only sessions of this elastic IP
    #[arg(long, value_name = "IP")]
    pub eip: Option<Ipv4Addr>,
    /// Only sessions of this internal host
    #[arg(long, value_name = "IP")]
    pub internal: Option<Ipv4Addr>,
    /// Only sessions with this peer
    #[arg(long, value_name = "IP")]
    pub peer: Option<Ipv4Addr>,
    /// Only this protocol: tcp, udp, icmp or a number
    #[arg(long, value_name = "PROTO", value_parser = parse_protocol)]
    pub proto: Option<u8>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Options of `natgw probe`.
#[derive(Debug, Clone, Args)]
pub struct ProbeArgs {
    /// What to ask for
    pub probe: Probe,
    /// Where the daemon serves it, as its own --listen [default: 127.0.0.1:9808]
    #[arg(long, value_name = "ADDRESS:PORT", env = "NATGW_LISTEN")]
    pub listen: Option<Listen>,
    /// How long to wait for the answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// What `natgw probe` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// Whether its loop turns; not whether the API server does
    Live,
    /// Whether it forwards what is wanted
    Ready,
}

/// Options of `natgw detach`.
#[derive(Debug, Clone, Args)]
pub struct DetachArgs {
    /// Name of the gateway
    #[arg(long, value_name = "NAME", env = "NATGW_GATEWAY")]
    pub gateway: String,
    /// Mount point of the bpffs that holds the pins
    #[arg(long, value_name = "PATH", default_value = DEFAULT_BPFFS, env = "NATGW_BPFFS")]
    pub bpffs: PathBuf,
    /// Network namespace of the gateway [default: the process's own]
    #[arg(long, value_name = "PATH", env = "NATGW_NETNS")]
    pub netns: Option<PathBuf>,
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// What happens to VPC packets for the outside that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmatched {
    /// They leave un-translated, as with kube-ovn.
    Forward,
    /// They are dropped and counted.
    Drop,
}

/// How programs are hooked to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// TCX where the kernel has it.
    Auto,
    /// TCX or fail.
    Tcx,
    /// A clsact filter.
    Clsact,
}

/// The log's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// The format of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn parse_protocol(text: &str) -> Result<u8, String> {
    match text.to_ascii_lowercase().as_str() {
        "icmp" => Ok(1),
        "tcp" => Ok(6),
        "udp" => Ok(17),
        number => number.parse().map_err(|_| format!("`{text}` is not tcp, udp, icmp or a protocol number")),
    }
}

/// Parses the command line, does what it says and reports an error on standard error.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" with code 0; a closed pipe is nobody's fault.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // `eprintln!` panics when standard error is full or closed; the code must be the failure's.
            let _ = writeln!(io::stderr(), "natgw: error: {}", printable_lines(&failure.to_string()));
            failure.exit.into()
        }
    }
}

fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => runtime::run(&args).map(|()| Exit::Ok),
        Command::Check(args) => run_check(&args),
        Command::Status(args) => status::status(&args),
        Command::Rules(args) => status::rules(&args),
        Command::Sessions(args) => status::sessions(&args),
        Command::Probe(args) => observe::probe::probe(&args),
        Command::Detach(args) => runtime::detach::detach(&args),
        Command::Crds(args) => crd::print(&args),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "natgw", &mut script);
            status::print(&script)
        }
    }
}

fn run_check(args: &CheckArgs) -> Result<Exit, Failure> {
    let report = check::check(&args.dir, args.gateway.as_deref());
    let (format, colours) = match args.output {
        Output::Table if logging::colours(io::IsTerminal::is_terminal(&io::stdout())) => {
            (check::Format::Table, check::Colours::Always)
        }
        Output::Table => (check::Format::Table, check::Colours::Never),
        Output::Json => (check::Format::Json, check::Colours::Never),
    };
    status::print(report.render(format, colours).as_bytes())?;
    Ok(if report.exit_code() == 0 { Exit::Ok } else { Exit::Failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_every_documented_flag() {
        let cli = parse(
            "natgw run --gateway gw --manifests /m --netns /n --internal-interface e --external-interface x --bpffs /b \
             --redirect off --unmatched drop --config /c --log-format json --log-level debug --attach clsact \
             --lock-wait 0s --max-sessions 1000 --listen [::1]:9000",
        )
        .expect("valid");
        let Command::Run(args) = cli.command else { panic!("not run") };
        assert_eq!(args.redirect, Some(Switch::Off));
        assert_eq!(args.lock_wait, Some(Duration::ZERO));
        assert_eq!(args.max_sessions, Some(1000));
        assert_eq!(args.listen.and_then(Listen::address), "[::1]:9000".parse().ok());
    }

    #[test]
    fn wrong_values_are_refused_with_the_right_ones() {
        for (line, expected) in [
            ("natgw run --redirect maybe", "on, off"),
            ("natgw run --unmatched reject", "forward, drop"),
            ("natgw run --lock-wait 5", "time unit"),
            ("natgw run --max-sessions 0", "0 is not in"),
            ("natgw run --listen 9808", "127.0.0.1:9808"),
            ("natgw probe healthy", "live, ready"),
            ("natgw sessions --proto tpc", "tcp, udp, icmp"),
            ("natgw sessions --eip 300.1.1.1", "invalid IPv4"),
            ("natgw crds --kind Pod", "Subnet, QoSPolicy, VpcNatGateway"),
            ("natgw stauts", "status"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(expected), "`{expected}` is missing in: {error}");
        }
    }

    #[test]
    fn protocols_have_names_and_numbers() {
        assert_eq!(parse_protocol("TCP"), Ok(6));
        assert_eq!(parse_protocol("47"), Ok(47));
        assert!(parse_protocol("256").is_err());
    }
}

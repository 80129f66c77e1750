//! The settings of `natgw run`: command line over environment over configuration file over default.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use natgw_common::abi::Timeouts;

use crate::{
    cli::{Attach, DEFAULT_BPFFS, LogFormat, RunArgs, Switch, Unmatched},
    cluster::ClusterOptions,
    config_file::{self, ConfigFile},
    exit::{Exit, Failure},
    net::Prefix,
    observe::Listen,
    source::SourceOptions,
};

/// How often drift is looked for.
const DEFAULT_RESYNC: Duration = Duration::from_secs(10);
/// How often expired sessions are swept.
const DEFAULT_SWEEP: Duration = Duration::from_secs(10);
/// Shorter ones would only burn a CPU.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// RFC 6056 section 3.2: everything but the well-known ports.
const DEFAULT_PORTS: (u16, u16) = (1024, 65_535);
/// `IFNAMSIZ` without the terminating zero.
const INTERFACE_NAME_MAX: usize = 15;

/// All settings, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Name of the `VpcNatGateway`.
    pub gateway: String,
    /// Where the objects come from.
    pub source: SourceOptions,
    /// Whether the status fields that kube-ovn's controller would write are natgw's to write.
    pub own_status: bool,
    /// Network namespace; `None`: the process's own.
    pub netns: Option<PathBuf>,
    /// Interface to the VPC.
    pub internal: String,
    /// Interface to the physical network.
    pub external: String,
    /// Mount point of the bpffs.
    pub bpffs: PathBuf,
    /// Whether translated packets leave by `bpf_redirect_neigh`.
    pub redirect: Switch,
    /// What happens to packets that no rule matches.
    pub unmatched: Unmatched,
    /// How programs are hooked.
    pub attach: Attach,
    /// How long to wait for the lock.
    pub lock_wait: Duration,
    /// Capacity of the session table.
    pub max_sessions: u32,
    /// Where health and metrics are served.
    pub listen: Listen,
    /// Interval of the drift check.
    pub resync: Duration,
    /// Interval of the sweeper.
    pub sweep: Duration,
    /// What `nextHopIP: gateway` stands for.
    pub subnet_gateway: Option<Ipv4Addr>,
    /// Prefix for EIPs of an interface without an address of its own.
    pub external_subnet: Option<Prefix>,
    /// Ports that SNAT hands out, inclusive.
    pub ports: (u16, u16),
    /// Idle times of sessions.
    pub timeouts: Timeouts,
    /// Format of the log.
    pub log_format: LogFormat,
    /// Filter of the log.
    pub log_level: String,
}

impl Options {
    /// Reads the configuration file, if one is given, and merges.
    ///
    /// # Errors
    /// Usage errors that name the setting and what would be right.
    pub fn resolve(args: &RunArgs) -> Result<Self, Failure> {
        let file = args.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        Self::merge(args, &file, std::env::var("RUST_LOG").ok())
    }

    fn merge(args: &RunArgs, file: &ConfigFile, rust_log: Option<String>) -> Result<Self, Failure> {
        let required = |what: &str| {
            Failure::new(
                Exit::Usage,
                format!("--{what} is required (or NATGW_{}, or `{what}` in the --config file)", what.to_uppercase()),
            )
        };
        let options = Self {
            gateway: pick(args.gateway.as_ref(), file.gateway.as_ref()).ok_or_else(|| required("gateway"))?,
            source: source(args, file)?,
            own_status: args.own_status || file.cluster.own_status.unwrap_or(false),
            netns: pick(args.netns.as_ref(), file.netns.as_ref()),
            internal: pick(args.internal_interface.as_ref(), file.internal.interface.as_ref())
                .unwrap_or_else(|| "eth0".to_owned()),
            external: pick(args.external_interface.as_ref(), file.external.interface.as_ref())
                .unwrap_or_else(|| "net1".to_owned()),
            bpffs: pick(args.bpffs.as_ref(), file.bpffs.as_ref()).unwrap_or_else(|| DEFAULT_BPFFS.into()),
            redirect: pick(args.redirect.as_ref(), file.redirect.as_ref()).unwrap_or(Switch::On),
            unmatched: pick(args.unmatched.as_ref(), file.unmatched.as_ref()).unwrap_or(Unmatched::Forward),
            attach: pick(args.attach.as_ref(), file.attach.as_ref()).unwrap_or(Attach::Auto),
            lock_wait: pick(args.lock_wait.as_ref(), file.lock_wait.as_ref()).unwrap_or(Duration::from_secs(30)),
            max_sessions: pick(args.max_sessions.as_ref(), file.max_sessions.as_ref()).unwrap_or(1 << 20),
            listen: pick(args.listen.as_ref(), file.listen.as_ref()).unwrap_or_default(),
            resync: file.resync.unwrap_or(DEFAULT_RESYNC),
            sweep: file.sweep.unwrap_or(DEFAULT_SWEEP),
            subnet_gateway: file.internal.subnet_gateway,
            external_subnet: file.external.subnet,
            ports: (file.ports.min.unwrap_or(DEFAULT_PORTS.0), file.ports.max.unwrap_or(DEFAULT_PORTS.1)),
            timeouts: timeouts(&file.timeouts),
            log_format: pick(args.log_format.as_ref(), file.log.format.as_ref()).unwrap_or(LogFormat::Text),
            log_level: args
                .log_level
                .clone()
                .or(rust_log)
                .or_else(|| file.log.level.clone())
                .unwrap_or_else(|| "info".to_owned()),
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), Failure> {
        let refuse = |message: String| Err(Failure::new(Exit::Usage, message));
        for (flag, name) in [("internal", &self.internal), ("external", &self.external)] {
            if name.is_empty() || name.len() > INTERFACE_NAME_MAX || name.contains(['/', ' ']) || name == "all" {
                return refuse(format!(
                    "--{flag}-interface `{name}` is not an interface name (1 to 15 characters, no `/`)"
                ));
            }
        }
        if self.internal == self.external {
            return refuse(format!(
                "--internal-interface and --external-interface are both `{}`; they must differ",
                self.internal
            ));
        }
        if self.max_sessions == 0 {
            return refuse("max_sessions is 0; the session table needs room".to_owned());
        }
        let (min, max) = self.ports;
        if min == 0 || min > max {
            return refuse(format!("[ports] min {min} and max {max} are no range; 1 <= min <= max is needed"));
        }
        for (key, value) in [("resync", self.resync), ("sweep", self.sweep)] {
            if value < SHORTEST_INTERVAL {
                return refuse(format!("`{key}` is too short; 100ms is the least"));
            }
        }
        Ok(())
    }
}

/// Manifests where they are named, else the cluster. What is on the command line wins over the file as a whole: a file
/// with manifests does not contradict `--kubeconfig`.
fn source(args: &RunArgs, file: &ConfigFile) -> Result<SourceOptions, Failure> {
    let cluster_asked = args.kubeconfig.is_some() || args.context.is_some();
    if let (Some(dir), true) = (&args.manifests, cluster_asked) {
        let message = format!(
            "--manifests `{}` and a cluster (--kubeconfig, --context) exclude each other; choose one source",
            dir.display()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let manifests = args.manifests.clone().or_else(|| file.manifests.clone().filter(|_| !cluster_asked));
    Ok(manifests.map_or_else(
        || {
            let options = ClusterOptions {
                kubeconfig: pick(args.kubeconfig.as_ref(), file.cluster.kubeconfig.as_ref()),
                context: pick(args.context.as_ref(), file.cluster.context.as_ref()),
            };
            let watching = pick(args.watch.as_ref(), file.cluster.watch.as_ref()).unwrap_or_default();
            SourceOptions::Cluster(options, watching)
        },
        SourceOptions::Manifests,
    ))
}

fn pick<T: Clone>(argument: Option<&T>, file: Option<&T>) -> Option<T> {
    argument.or(file).cloned()
}

fn timeouts(file: &config_file::Timeouts) -> Timeouts {
    let ns = |value: Option<Duration>, default: u64| {
        value.map_or(default, |value| u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    };
    let default = Timeouts::DEFAULT;
    Timeouts {
        tcp_established_ns: ns(file.tcp_established, default.tcp_established_ns),
        tcp_opening_ns: ns(file.tcp_opening, default.tcp_opening_ns),
        tcp_closing_ns: ns(file.tcp_closing, default.tcp_closing_ns),
        tcp_transitory_ns: ns(file.tcp_transitory, default.tcp_transitory_ns),
        udp_ns: ns(file.udp, default.udp_ns),
        icmp_ns: ns(file.icmp, default.icmp_ns),
        other_ns: ns(file.other, default.other_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::source::Watching;

    fn minimal() -> RunArgs {
        RunArgs { gateway: Some("gw".to_owned()), manifests: Some("/m".into()), ..RunArgs::default() }
    }

    fn file(text: &str) -> ConfigFile {
        toml::from_str(text).expect("valid")
    }

    fn merge(args: &RunArgs, text: &str) -> Result<Options, Failure> {
        Options::merge(args, &file(text), None)
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
        let text =
            "unmatched = \"drop\"\nresync = \"1m\"\n[internal]\ninterface = \"eth7\"\n[external]\ninterface = \"net7\"";
        let args = RunArgs { external_interface: Some("net9".to_owned()), ..minimal() };
        let options = merge(&args, text).expect("valid");
        assert_eq!(options.external, "net9");
        assert_eq!(options.internal, "eth7");
        assert_eq!(options.unmatched, Unmatched::Drop);
        assert_eq!(options.resync, Duration::from_mins(1));
        assert_eq!(options.listen, Listen::Default);
        assert_eq!((options.redirect, options.lock_wait), (Switch::On, Duration::from_secs(30)));
    }

    #[test]
    fn the_address_of_the_command_line_wins_over_the_one_of_the_file() {
        let listen = |args: &RunArgs| merge(args, "listen = \"127.0.0.1:1\"").expect("valid").listen;
        assert_eq!(listen(&RunArgs { listen: Some(Listen::Off), ..minimal() }), Listen::Off);
        assert_eq!(listen(&minimal()).address(), "127.0.0.1:1".parse().ok());
    }

    #[test]
    fn timeouts_of_the_file_replace_single_defaults() {
        let options = merge(&minimal(), "[timeouts]\nudp = \"2m\"").expect("valid");
        assert_eq!(options.timeouts, Timeouts { udp_ns: 120_000_000_000, ..Timeouts::DEFAULT });
    }

    #[test]
    fn the_log_filter_has_its_own_order() {
        let text = file("log = { level = \"warn\" }");
        let level = |args: &RunArgs, rust_log: Option<&str>| {
            Options::merge(args, &text, rust_log.map(ToOwned::to_owned)).expect("valid").log_level
        };
        let flag = RunArgs { log_level: Some("trace".to_owned()), ..minimal() };
        assert_eq!(level(&flag, Some("debug")), "trace");
        assert_eq!(level(&minimal(), Some("debug")), "debug");
        assert_eq!(level(&minimal(), None), "warn");
        assert_eq!(merge(&minimal(), "").expect("valid").log_level, "info");
    }

    #[test]
    fn without_manifests_the_source_is_the_cluster() {
        let args = RunArgs { manifests: None, ..minimal() };
        let cluster = |options| SourceOptions::Cluster(options, Watching::All);
        assert_eq!(merge(&args, "").expect("valid").source, cluster(ClusterOptions::default()));
        assert_eq!(merge(&args, "manifests = \"/f\"").expect("valid").source, SourceOptions::Manifests("/f".into()));
        let args = RunArgs { kubeconfig: Some("/k".into()), ..args };
        let options = ClusterOptions { kubeconfig: Some("/k".into()), context: Some("c".to_owned()) };
        let text = "manifests = \"/f\"\n[cluster]\ncontext = \"c\"";
        assert_eq!(merge(&args, text).expect("valid").source, cluster(options));
    }

    #[test]
    fn what_is_missing_or_impossible_is_a_usage_error_that_names_it() {
        let cases = [
            (RunArgs::default(), "", "--gateway"),
            (RunArgs { context: Some("dev".to_owned()), ..minimal() }, "", "exclude each other"),
            (RunArgs { internal_interface: Some("net1".to_owned()), ..minimal() }, "", "must differ"),
            (RunArgs { external_interface: Some("a-name-that-is-too-long".to_owned()), ..minimal() }, "", "1 to 15"),
            (minimal(), "[ports]\nmin = 5000\nmax = 4000", "min 5000"),
            (minimal(), "sweep = \"1ms\"", "sweep"),
            (minimal(), "max_sessions = 0", "max_sessions"),
        ];
        for (args, text, expected) in cases {
            let failure = merge(&args, text).expect_err(expected);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.to_string().contains(expected), "`{expected}` is missing in: {failure}");
        }
    }
}

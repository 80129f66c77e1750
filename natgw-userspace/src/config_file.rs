//! The `--config` file: TOML with the settings of `natgw run` and those that have no flag.
//!
//! Unknown keys are errors: a misspelt setting must not silently be the default.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    cli::{Attach, LogFormat, Switch, Unmatched},
    cluster::source::Watching,
    exit::{Exit, Failure},
    net::Prefix,
    observe::Listen,
};

/// The whole file; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// As `--gateway`.
    pub gateway: Option<String>,
    /// As `--manifests`.
    pub manifests: Option<PathBuf>,
    /// As `--netns`.
    pub netns: Option<PathBuf>,
    /// As `--bpffs`.
    pub bpffs: Option<PathBuf>,
    /// As `--redirect`.
    pub redirect: Option<Switch>,
    /// As `--unmatched`.
    pub unmatched: Option<Unmatched>,
    /// As `--attach`.
    pub attach: Option<Attach>,
    /// As `--lock-wait`.
    #[serde(default, with = "humantime_serde::option")]
    pub lock_wait: Option<Duration>,
    /// As `--max-sessions`.
    pub max_sessions: Option<u32>,
    /// As `--listen`.
    pub listen: Option<Listen>,
    /// Interval of the drift check.
    #[serde(default, with = "humantime_serde::option")]
    pub resync: Option<Duration>,
    /// Interval of the sweeper of expired sessions.
    #[serde(default, with = "humantime_serde::option")]
    pub sweep: Option<Duration>,
    /// The cluster that is watched.
    #[serde(default)]
    pub cluster: Cluster,
    /// The VPC side.
    #[serde(default)]
    pub internal: Internal,
    /// The physical side.
    #[serde(default)]
    pub external: External,
    /// Ports that SNAT hands out.
    #[serde(default)]
    pub ports: Ports,
    /// Idle times of sessions.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The log.
    #[serde(default)]
    pub log: Log,
}

/// `[cluster]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// As `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// As `--context`.
    pub context: Option<String>,
    /// As `--watch`.
    pub watch: Option<Watching>,
    /// As `--own-status`.
    pub own_status: Option<bool>,
}

/// `[internal]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Internal {
    /// As `--internal-interface`.
    pub interface: Option<String>,
    /// What `nextHopIP: gateway` stands for.
    pub subnet_gateway: Option<Ipv4Addr>,
}

/// `[external]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// As `--external-interface`.
    pub interface: Option<String>,
    /// Prefix for EIPs when the interface has no address of its own (`noDefaultEIP`).
    pub subnet: Option<Prefix>,
}

/// `[ports]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// Lowest port.
    pub min: Option<u16>,
    /// Highest port.
    pub max: Option<u16>,
}

/// `[timeouts]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// TCP, both directions seen.
    #[serde(default, with = "humantime_serde::option")]
    pub tcp_established: Option<Duration>,
    /// TCP, only one direction seen.
    #[serde(default, with = "humantime_serde::option")]
    pub tcp_opening: Option<Duration>,
    /// TCP after a FIN.
    #[serde(default, with = "humantime_serde::option")]
    pub tcp_closing: Option<Duration>,
    /// TCP after a RST.
    #[serde(default, with = "humantime_serde::option")]
    pub tcp_transitory: Option<Duration>,
    /// UDP.
    #[serde(default, with = "humantime_serde::option")]
    pub udp: Option<Duration>,
    /// ICMP queries.
    #[serde(default, with = "humantime_serde::option")]
    pub icmp: Option<Duration>,
    /// Other protocols.
    #[serde(default, with = "humantime_serde::option")]
    pub other: Option<Duration>,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// As `--log-format`.
    pub format: Option<LogFormat>,
    /// As `--log-level`.
    pub level: Option<String>,
}

impl ConfigFile {
    /// Reads and parses the file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has an unknown key or a bad value: file, line, column and the text there.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot read configuration file `{}`: {error}", path.display()))
        })?;
        Self::parse(&text).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("configuration file `{}` is not valid: {}", path.display(), error.to_string().trim_end()),
            )
        })
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_has_every_setting_and_is_understood() {
        let text = include_str!("../../docs/natgw.toml");
        let file = ConfigFile::parse(text).expect("valid");
        let debug = format!("{file:?}");
        assert!(!debug.contains("None"), "a setting is missing in docs/natgw.toml: {debug}");
        assert_eq!(file.timeouts.tcp_established, Some(Duration::from_mins(124)));
        assert_eq!(file.internal.subnet_gateway, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(file.unmatched, Some(Unmatched::Drop));
        assert_eq!(file.log.format, Some(LogFormat::Json));
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        assert_eq!(ConfigFile::parse("").expect("valid"), ConfigFile::default());
    }

    #[test]
    fn errors_show_the_place_and_what_would_be_right() {
        for (text, parts) in [
            ("gatway = \"gw1\"", &["line 1", "gatway", "gateway"][..]),
            ("[internal]\nsubnet_gateway = \"10.0.0\"", &["line 2", "subnet_gateway"]),
            ("redirect = \"maybe\"", &["maybe", "on", "off"]),
            ("listen = \"9808\"", &["line 1", "`9808`", "127.0.0.1:9808", "off"]),
            ("resync = \"soon\"", &["line 1", "resync"]),
            ("[external]\nsubnet = \"203.0.113.0\"", &["203.0.113.0/24"]),
            ("[timeouts]\ntcp = \"1s\"", &["line 2", "tcp", "tcp_established"]),
        ] {
            let error = ConfigFile::parse(text).expect_err(text).to_string();
            for part in parts {
                assert!(error.contains(part), "`{part}` is missing in: {error}");
            }
        }
    }

    #[test]
    fn a_missing_file_is_a_usage_error_that_names_it() {
        let failure = ConfigFile::read(Path::new("/no/such/natgw.toml")).expect_err("missing");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("/no/such/natgw.toml"));
    }
}

//! What a machine can lack, how that is said, and what a person would type to change it.

use std::fmt::{self, Write as _};

use crate::{
    apt::{self, Tool},
    system::Packages,
    toolchain::OLDEST,
};

/// Where natgw pins its maps and links by default, and where the layers expect a bpf file system.
pub(crate) const BPFFS: &str = "/sys/fs/bpf";

/// One thing that is missing.
#[derive(Debug)]
pub(crate) enum Need {
    /// A compiler with its source; the text says what is wrong with those present.
    Toolchain { why: String, source_for: Option<String> },
    /// A program of a package.
    Tool(&'static Tool),
    /// bpf-linker, and why the present one will not do.
    BpfLinker(String),
    /// The file system for pins.
    Bpffs,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Toolchain { why, .. } => write!(f, "Rust for eBPF: {why}"),
            Self::Tool(tool) => write!(f, "{}: not installed ({})", tool.program, tool.what_for),
            Self::BpfLinker(why) => write!(f, "bpf-linker: {why}"),
            Self::Bpffs => write!(f, "{BPFFS}: no bpf file system is mounted"),
        }
    }
}

impl Need {
    /// What a person would type.
    pub(crate) fn command(&self, packages: Packages) -> String {
        match (self, packages) {
            (Self::Toolchain { source_for: Some(name), .. }, _) => {
                format!("rustup component add rust-src --toolchain {name}")
            }
            (Self::Toolchain { source_for: None, .. }, Packages::Apt) => {
                format!("apt-get install {}    (needs a release that has rustc-web >= {OLDEST})", apt::RUST.join(" "))
            }
            (Self::Toolchain { source_for: None, .. }, _) => {
                "install rustup (https://rustup.rs), then: rustup component add rust-src".to_owned()
            }
            (Self::Tool(tool), Packages::Apt) => {
                let group = tool.packages.first().copied().unwrap_or_default();
                format!("apt-get install {}", group.join(" "))
            }
            (Self::Tool(tool), Packages::Dnf) => format!("dnf install '*bin/{}'", tool.program),
            (Self::Tool(tool), Packages::Apk) => format!("apk add cmd:{}", tool.program),
            (Self::Tool(tool), Packages::Unknown) => {
                let package = tool.packages.first().and_then(|group| group.first()).copied().unwrap_or_default();
                format!("install the package with the program `{}` (Debian's is {package})", tool.program)
            }
            (Self::BpfLinker(_), _) => "cargo xtask setup    (builds it into target/tools)".to_owned(),
            (Self::Bpffs, _) => format!("mount -t bpf bpf {BPFFS}"),
        }
    }

    /// Whether setup can do it on such a machine.
    pub(crate) fn is_automatic(&self, packages: Packages, root: bool) -> bool {
        match self {
            Self::Toolchain { source_for: Some(_), .. } | Self::BpfLinker(_) => true,
            Self::Toolchain { source_for: None, .. } | Self::Tool(_) => root && packages == Packages::Apt,
            Self::Bpffs => root,
        }
    }
}

/// The list for a machine that setup cannot change.
pub(crate) fn report(needs: &[Need], packages: Packages, root: bool) -> String {
    let reason = match packages {
        Packages::Apt if root => "it cannot all be installed",
        Packages::Apt => "installing it needs root",
        Packages::Dnf | Packages::Apk | Packages::Unknown => "only Debian and Ubuntu are set up automatically",
    };
    let mut text = format!("{} missing; {reason}:", needs.len());
    for need in needs {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {need}\n      {}", need.command(packages));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(program: &str) -> Need {
        Need::Tool(apt::TOOLS.iter().find(|tool| tool.program == program).expect("it is in the table"))
    }

    #[test]
    fn every_missing_thing_comes_with_its_command() {
        let needs = [tool("ip"), Need::BpfLinker("is not installed".to_owned()), Need::Bpffs];
        let text = report(&needs, Packages::Apt, false);
        assert!(text.starts_with("3 missing; installing it needs root:"), "{text}");
        for expected in ["apt-get install iproute2", "cargo xtask setup", "mount -t bpf bpf /sys/fs/bpf"] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn other_systems_get_their_own_commands() {
        assert_eq!(tool("ethtool").command(Packages::Dnf), "dnf install '*bin/ethtool'");
        assert_eq!(tool("ethtool").command(Packages::Apk), "apk add cmd:ethtool");
        assert!(tool("ping").command(Packages::Unknown).contains("iputils-ping"));
        assert!(report(&[tool("ip")], Packages::Dnf, true).contains("only Debian and Ubuntu"));
    }

    #[test]
    fn only_root_on_debian_installs_packages() {
        assert!(tool("ip").is_automatic(Packages::Apt, true));
        assert!(!tool("ip").is_automatic(Packages::Apt, false));
        assert!(!tool("ip").is_automatic(Packages::Dnf, true));
    }

    #[test]
    fn what_stays_in_the_checkout_needs_no_root() {
        assert!(Need::BpfLinker(String::new()).is_automatic(Packages::Unknown, false));
        assert!(!Need::Bpffs.is_automatic(Packages::Apt, false));
    }

    #[test]
    fn a_toolchain_of_rustup_gets_its_source_from_rustup() {
        let need = Need::Toolchain { why: String::new(), source_for: Some("stable-x".to_owned()) };
        assert_eq!(need.command(Packages::Apt), "rustup component add rust-src --toolchain stable-x");
        assert!(need.is_automatic(Packages::Unknown, false));
    }
}

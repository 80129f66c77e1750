//! The layers of tests, in the order in which they run: the cheapest that can fail first.

/// What `cargo xtask test` runs under one name.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, no state machine")]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// `cargo xtask ci` fails when it did not run.
    pub(crate) required: bool,
    /// Needs the kernel: namespaces, `BPF_PROG_TEST_RUN`, pins.
    pub(crate) root: bool,
    /// Needs etcd and kube-apiserver.
    pub(crate) apiserver: bool,
    /// Upgrades to `natgw-abi-next`.
    pub(crate) abi_next: bool,
    /// Measures `natgw` as it is deployed: optimised.
    pub(crate) release: bool,
    /// Boots other kernels and runs tests of other layers there, instead of `invocations`.
    pub(crate) kernels: bool,
    /// Tests that run at a time when the user does not say; `None`: as many as there are processors.
    pub(crate) threads: Option<u32>,
    /// Arguments of `cargo test`, one invocation each.
    pub(crate) invocations: &'static [&'static [&'static str]],
}

/// One `--test` target of natgw-tests.
macro_rules! integration {
    ($name:literal, $threads:expr, $what:literal) => {
        integration!($name, $threads, apiserver: false, abi_next: false, $what)
    };
    ($name:literal, $threads:expr, apiserver: $apiserver:literal, abi_next: $abi_next:literal, $what:literal) => {
        Layer {
            name: $name,
            what: $what,
            required: true,
            root: true,
            apiserver: $apiserver,
            abi_next: $abi_next,
            release: false,
            kernels: false,
            threads: $threads,
            invocations: &[&["--package", "natgw-tests", "--test", $name]],
        }
    };
}

/// All layers.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "unit",
        what: "unit and property tests of every crate",
        required: true,
        root: false,
        apiserver: false,
        abi_next: false,
        release: false,
        kernels: false,
        threads: None,
        invocations: &[
            &["--package", "natgw-common", "--package", "natgw-userspace", "--package", "xtask"],
            &["--package", "natgw-tests", "--lib", "--bins"],
        ],
    },
    integration!("prog_run", None, "packets through BPF_PROG_TEST_RUN: verdict, bytes, counters"),
    integration!(
        "datapath",
        None,
        apiserver: false,
        abi_next: true,
        "loading, pinning, adopting, migrating and sweeping in the kernel"
    ),
    integration!("daemon", None, "`natgw run` and the other commands: input, errors, exit codes"),
    integration!("netns", None, "real traffic between namespaces"),
    // Counts lost packets under load: a neighbour on the processor would show as loss.
    integration!("restart", Some(1), apiserver: false, abi_next: true, "kills and upgrades with traffic in flight"),
    Layer {
        name: "kernels",
        what: "Debian's kernels in virtual machines: without TCX, with VLANs",
        required: true,
        root: true,
        apiserver: false,
        abi_next: false,
        release: false,
        kernels: true,
        threads: None,
        invocations: &[],
    },
    integration!(
        "apiserver",
        None,
        apiserver: true,
        abi_next: false,
        "a real API server and etcd: objects in, packets and conditions out"
    ),
    Layer {
        name: "recovery",
        what: "nothing that is lost around a gateway loses an EIP",
        required: true,
        root: true,
        apiserver: true,
        abi_next: true,
        release: true,
        kernels: false,
        // As in `restart`.
        threads: Some(1),
        invocations: &[&["--package", "natgw-tests", "--test", "recovery"]],
    },
];

/// The layers with these names in their own order, all for no names.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Layer>, String> {
    if let Some(unknown) = names.iter().find(|name| !LAYERS.iter().any(|layer| layer.name == *name)) {
        let known: Vec<_> = LAYERS.iter().map(|layer| layer.name).collect();
        return Err(format!("no layer is called `{unknown}`: there are {}", known.join(", ")));
    }
    Ok(LAYERS.iter().filter(|layer| names.is_empty() || names.iter().any(|name| name == layer.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chosen: &[&str]) -> Result<Vec<&'static str>, String> {
        let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
        Ok(select(&chosen)?.into_iter().map(|layer| layer.name).collect())
    }

    #[test]
    fn no_name_means_all_layers() {
        assert_eq!(
            names(&[]),
            Ok(vec!["unit", "prog_run", "datapath", "daemon", "netns", "restart", "kernels", "apiserver", "recovery"])
        );
    }

    #[test]
    fn chosen_layers_run_once_and_in_their_own_order() {
        assert_eq!(names(&["netns", "unit", "netns"]), Ok(vec!["unit", "netns"]));
    }

    #[test]
    fn an_unknown_layer_is_refused_with_the_list() {
        let error = names(&["unit", "nets"]).expect_err("there is no such layer");
        assert!(error.contains("`nets`") && error.contains("netns"), "{error}");
    }
}

//! Which modules the guest must load by itself before it has a file system to find others in.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result};

/// What the guest needs to mount the host's files, with memory above them.
pub(super) const NEEDED: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// The files of `wanted` and all that they depend on, each after its own dependencies. `dep` is a `modules.dep`: lines
/// `path: dependency dependency`, where the last dependency comes first (depmod(5)).
pub(super) fn order(dep: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let lines = dep.lines().filter_map(|line| line.split_once(':'));
    let by_name: HashMap<String, (&str, &str)> =
        lines.map(|(path, needs)| (name(path), (path, needs.trim()))).collect();
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for module in wanted {
        let (path, needs) = by_name.get(*module).with_context(|| format!("the kernel has no module `{module}`"))?;
        let needs = needs.split_whitespace().rev();
        order.extend(needs.chain([*path]).filter(|path| seen.insert((*path).to_owned())).map(str::to_owned));
    }
    Ok(order)
}

/// `kernel/fs/9p/9p.ko` as `9p`; the kernel takes `-` and `_` for the same.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/netfs.ko:\n\
        kernel/fs/9p/9p.ko: kernel/net/9pnet.ko kernel/fs/fscache.ko kernel/fs/netfs.ko\n\
        kernel/fs/fscache.ko: kernel/fs/netfs.ko\n\
        kernel/net/9pnet.ko:\n\
        kernel/net/9p/9pnet-virtio.ko.xz: kernel/net/9pnet.ko\n";

    #[test]
    fn every_module_comes_once_and_after_what_it_needs() {
        let order = order(DEP, &["9pnet_virtio", "9p"]).expect("all are there");
        assert_eq!(
            order,
            [
                "kernel/net/9pnet.ko",
                "kernel/net/9p/9pnet-virtio.ko.xz",
                "kernel/fs/netfs.ko",
                "kernel/fs/fscache.ko",
                "kernel/fs/9p/9p.ko"
            ]
        );
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let error = order(DEP, &["overlay"]).expect_err("it is not in the list");
        assert!(error.to_string().contains("`overlay`"), "{error}");
    }
}

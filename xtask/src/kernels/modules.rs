//! Which files of `lib/modules/<release>` have to be loaded, and in which order, by modules.dep (depmod(8)).

use anyhow::{Result, bail};

/// The files for some modules, each behind what it depends on. A module that is built in has no file.
pub(crate) fn resolve<'a>(dep: &'a str, builtin: &str, wanted: &[&str]) -> Result<Vec<&'a str>> {
    let mut files = Vec::new();
    for name in wanted {
        let line = dep.lines().find_map(|line| line.split_once(':').filter(|(file, _)| self::name(file) == *name));
        let Some((file, needs)) = line else {
            if builtin.lines().any(|file| self::name(file) == *name) {
                continue;
            }
            bail!("the kernel has no module `{name}`");
        };
        // depmod lists what is needed last first.
        for file in needs.split_whitespace().rev().chain([file]) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// `kernel/net/9p/9pnet.ko.xz` is the module `9pnet`; the kernel takes - and _ for the same.
pub(crate) fn name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or_default();
    base.split(".ko").next().unwrap_or_default().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/net/9p/9pnet.ko:\n\
        kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko\n\
        kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko\n\
        kernel/drivers/x/some-name.ko:\n";

    #[test]
    fn what_is_needed_comes_first_and_once() {
        assert_eq!(
            resolve(DEP, "", &["9p", "9pnet_virtio"]).unwrap(),
            [
                "kernel/fs/netfs/netfs.ko",
                "kernel/fs/fscache/fscache.ko",
                "kernel/net/9p/9pnet.ko",
                "kernel/fs/9p/9p.ko",
                "kernel/net/9p/9pnet_virtio.ko.xz"
            ]
        );
        assert_eq!(resolve(DEP, "", &["some_name"]).unwrap(), ["kernel/drivers/x/some-name.ko"]);
    }

    #[test]
    fn built_in_modules_need_no_file_and_unknown_ones_are_refused() {
        assert!(resolve(DEP, "kernel/drivers/virtio/virtio_pci.ko\n", &["virtio_pci"]).unwrap().is_empty());
        let error = resolve(DEP, "", &["virtio_pci"]).expect_err("there is none").to_string();
        assert_eq!(error, "the kernel has no module `virtio_pci`");
    }
}

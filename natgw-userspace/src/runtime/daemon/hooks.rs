//! What is on the interfaces: programs, their configuration, sysctls.

use natgw_common::abi::ConfigFlags;
use tokio::task::block_in_place;

use super::Daemon;
use crate::{
    cli::{Attach, Switch, Unmatched},
    datapath::{AttachError, AttachMode, MapsError, Side},
    runtime::{network::Step, telling::repairs, work::Cause},
};

impl Daemon<'_> {
    pub(super) fn attached(&self) -> bool {
        self.network.internal.link.is_some() == self.mechanisms[0].is_some()
            && self.network.external.link.is_some() == self.mechanisms[1].is_some()
    }

    /// CONFIG, programs and sysctls of the interfaces that exist.
    pub(super) fn hooks(&mut self, cause: Cause) -> (Step, Vec<String>) {
        let mut errors = Vec::new();
        if let Err(error) = self.write_config() {
            errors.push(error.to_string());
        }
        let mut repaired = Vec::new();
        for (slot, side) in [(0, Side::Internal), (1, Side::External)] {
            let interface = if side == Side::Internal { &self.network.internal } else { &self.network.external };
            let Some(link) = interface.link else {
                self.occupied[slot] = false;
                continue;
            };
            let name = interface.name.clone();
            let mode = mode(self.options.attach);
            let (ns, datapath) = (&self.network.ns, &mut self.datapath);
            match block_in_place(|| ns.run(|| datapath.attach(side, link.ifindex, &name, mode))) {
                Ok(Ok(attached)) => {
                    self.occupied[slot] = false;
                    if self.mechanisms[slot].is_some() {
                        repaired.extend(repairs(&attached, &name));
                    }
                    self.mechanisms[slot] = Some(attached.mechanism);
                    self.tell_attached(&name, link.ifindex, &attached);
                }
                // Its next event tells more.
                Ok(Err(error)) if error.is_interface_gone() => {
                    tracing::debug!(%error, interface = name, "the interface went while programs were attached");
                }
                Ok(Err(error)) => {
                    self.occupied[slot] = matches!(error, AttachError::Occupied { .. });
                    errors.push(format!("{name}: {error}"));
                }
                Err(error) => errors.push(error.to_string()),
            }
        }
        let mut step = self.network.ensure_sysctls();
        // A new interface starts with the kernel's defaults: setting those is no repair.
        if cause != Cause::Drift {
            step.repaired.clear();
        }
        step.repaired.extend(repaired);
        (step, errors)
    }

    fn write_config(&mut self) -> Result<bool, MapsError> {
        let (internal, external) = (self.network.internal.link, self.network.external.link);
        let options = self.options;
        block_in_place(|| {
            self.datapath.maps().update_config(|config| {
                let mut flags = 0;
                if options.redirect == Switch::On {
                    flags |= ConfigFlags::Redirect as u32;
                }
                if options.unmatched == Unmatched::Drop {
                    flags |= ConfigFlags::UnmatchedDrop as u32;
                }
                config.flags = flags;
                // A missing interface keeps its old index: no packet can carry it.
                if let Some(link) = internal {
                    config.int_ifindex = link.ifindex;
                }
                if let Some(link) = external {
                    config.ext_ifindex = link.ifindex;
                }
                (config.port_min, config.port_max) = options.ports;
                config.timeouts = options.timeouts;
            })
        })
    }
}

fn mode(attach: Attach) -> AttachMode {
    match attach {
        Attach::Auto => AttachMode::Auto,
        Attach::Tcx => AttachMode::Tcx,
        Attach::Clsact => AttachMode::Clsact,
    }
}

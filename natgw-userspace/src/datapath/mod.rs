//! The data path as the kernel holds it: pinned maps, programs, attachments.
//!
//! Everything that survives the daemon lives below `<bpffs>/natgw/<gateway>` ([`GatewayPaths`]). One process writes
//! there, the holder of the [`Lock`]. [`Datapath::load`] adopts or creates the maps and loads the programs,
//! [`Datapath::attach`] puts them on an interface, [`Maps`] reads and writes the maps (also without a daemon),
//! [`Sweeper`] removes sessions, [`detach()`] removes everything. Maps of an older layout are moved by [`migration`].

pub mod abi_check;
pub mod attach;
mod clsact;
pub mod detach;
pub mod loader;
pub mod lock;
pub mod maps;
pub mod migration;
mod owner;
pub mod pins;
mod raw;
pub mod sessions;
pub mod sweep;

pub use attach::{
    AttachError, AttachMode, Attached, Attachment, Hook, Mechanism, Outcome, Side, attached_elsewhere, attachments,
    other_gateway_on,
};
pub use detach::{DetachError, DetachReport, detach};
pub use loader::{Datapath, LoadError, LoadOptions, LoadReport, ProgramReport};
pub use lock::{Holder, Lock, LockError};
pub use maps::{Counters, Maps, MapsError};
pub use migration::{MigrationReport, Unfinished};
pub use pins::{GatewayPaths, PinError};
pub use sweep::{SweepError, SweepReport, Sweeper};

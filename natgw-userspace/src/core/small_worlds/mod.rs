//! Every small world and every way between two of them, judged by the real translation.
//!
//! A world is what [`super::desired::DesiredState::build`] makes of up to two elastic IPs and three rules. Between two
//! worlds lie the states that a plan passes through, each of which may last: the daemon can be killed after any write.
//! `worlds` makes the worlds, `gateway` runs `natgw_common::nat` over the model's maps, `probes` are the packets, `memo`
//! remembers their fates; the other modules hold the tests.

mod bench;
mod ends;
mod exchanges;
mod gateway;
mod goals;
mod judge;
mod memo;
mod packets;
mod probes;
mod steps;
mod table;
mod universe;
mod worlds;

pub(crate) use self::{bench::Bench, ends::sessions, worlds::worlds};

//! The harness of the integration layers: real kernel, real packets, real namespaces.
//!
//! A test builds a [`Topology`] (namespaces and links), gives its gateway namespace a [`Gateway`] (a bpffs, a
//! directory of manifests), starts the real `natgw` binary as a [`Daemon`] and sends packets. Everything is named
//! after the test's process, removed by `Drop`, and swept by the next run when a process died before that.

pub mod announcements;
pub mod capture;
pub mod churn;
pub mod clock;
pub mod cluster;
pub mod cluster_lab;
pub mod command;
pub mod craft;
pub mod daemon;
pub mod doctored;
pub mod drops;
pub mod gateway;
pub mod held;
pub mod idle;
pub mod kernel;
pub mod lab;
pub mod logs;
pub mod maps;
pub mod netns;
pub mod observed;
pub mod oracle;
pub mod packet;
pub mod payload;
pub mod pinned;
pub mod probe;
pub mod prog_run;
pub mod random;
pub mod recovery;
pub mod resets;
pub mod rules;
pub mod scratch;
pub mod snmp;
pub mod tally;
pub mod tcp;
pub mod topology;
pub mod trace;
pub mod traffic;

pub use cluster::Cluster;
pub use cluster_lab::ClusterLab;
pub use daemon::Daemon;
pub use gateway::Gateway;
pub use lab::Lab;
pub use netns::Netns;
pub use rules::{Proto, Rules};
pub use scratch::Scratch;
pub use tally::Tally;
pub use topology::{External, Topology};

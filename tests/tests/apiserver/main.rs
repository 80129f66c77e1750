//! Layer `apiserver`: a real API server and a real etcd. The first modules test the cluster itself, that everything else
//! stands on.
#![allow(missing_docs, reason = "a test binary documents nothing")]

mod absences;
mod accounts;
mod burst;
mod clocks;
mod configured;
mod ending;
mod exhaustion;
mod extremes;
mod life_cycle;
mod listing;
mod losses;
mod objects;
mod outages;
mod proxy;
mod refusals;
mod restless;
mod rights;
mod statuses;
mod subnets;
mod support;
mod without_etcd;
mod writes;

//! Layer `recovery`: whatever is lost around a gateway, no EIP is. Node, container, namespace and API server go away and
//! come back, with packets in flight.
#![allow(missing_docs, reason = "a test binary documents nothing")]

mod ground;
mod scenarios;

//! The harness of the integration layers.

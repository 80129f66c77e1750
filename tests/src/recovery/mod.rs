//! The recovery table as data: what each scenario must achieve, what it did achieve, and `docs/recovery.md` from both.
//!
//! A test of the layer `recovery` fills in an [`Outcome`] and hands it in; the bounds are in [`table`] and nowhere else.

pub mod asking;
pub mod changing;
pub mod document;
pub mod outcome;
pub mod results;
pub mod table;

pub use self::{outcome::Outcome, results::Figures};

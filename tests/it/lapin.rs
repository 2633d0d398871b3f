//! What lapin does wrong, and that the broker crate answers it: a test for every row of the table in
//! `docs/adr/0002-rules-for-lapin.md`.

mod blocked;
mod connecting;
mod consuming;
mod publishing;
mod stopping;

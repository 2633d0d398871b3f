//! The only crate that speaks to Tactical RMM.

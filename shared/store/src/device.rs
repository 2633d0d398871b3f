//! Devices as assets: a batch of what Tactical said becomes rows.

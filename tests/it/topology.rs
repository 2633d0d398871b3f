//! The topology does what `docs/MESSAGES.md` says: rungs return messages home, nothing is dropped silently, and a queue
//! that differs is named.

mod declaring;
mod ladder;
mod landing;

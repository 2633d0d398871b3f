//! A connection to Tactical: its settings, its state, its one login at a time.

//! Reinstalled agents: proposals to merge two devices into one.

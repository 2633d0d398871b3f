//! Sealed secrets of tenants; what is in them only the vault can read.

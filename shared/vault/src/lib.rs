//! Seals the secrets of tenants.

//! Organisation mappings: which of the tenant's clients a client of Tactical is.

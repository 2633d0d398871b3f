//! From a tenant to a client of its Tactical server.

//! Bearer tokens of the operators' API.

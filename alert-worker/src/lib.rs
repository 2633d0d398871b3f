//! alert-worker

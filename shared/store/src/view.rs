//! What the operators' API shows: status, assets, alerts.

//! Every route there is: the router, the check of permissions, the description and the tests come from this table.

use std::sync::LazyLock;

use store::token::Permission::{AssetRead, SettingsRead, SettingsUpdate};

use crate::api::{alerts, assets, meta, webhook};
use crate::route::Method::{Get, Post};
use crate::route::{Needs, Route};

/// Below a tenant's connection to Tactical.
macro_rules! tactical {
    ($path:literal) => {
        concat!("/api/v1/tenants/{tenant}/integrations/tacticalrmm", $path)
    };
}

/// Below a tenant.
macro_rules! tenant {
    ($path:literal) => {
        concat!("/api/v1/tenants/{tenant}", $path)
    };
}

/// The table.
pub static TABLE: LazyLock<Vec<Route>> =
    LazyLock::new(|| [about(), webhooks(), devices()].into_iter().flatten().collect());

fn about() -> Vec<Route> {
    vec![
        Route::new(
            Get,
            "/api/v1/whoami",
            Needs::AnyToken,
            ("who_am_i", "What the token allows, and where"),
            meta::whoami,
        ),
        Route::new(
            Get,
            "/api/v1/openapi.json",
            Needs::AnyToken,
            ("get_description", "The description of this API"),
            meta::document,
        ),
    ]
}

fn webhooks() -> Vec<Route> {
    let (read, update) = (Needs::Permission(SettingsRead), Needs::Permission(SettingsUpdate));
    vec![
        Route::new(
            Get,
            tactical!("/webhook"),
            read,
            ("get_webhook", "What to enter in Tactical so that its alerts arrive"),
            webhook::get,
        ),
        Route::new(
            Post,
            tactical!("/webhook/rotate"),
            update,
            ("rotate_webhook_secret", "Replace the webhook's secret; the one before stays good for a while"),
            webhook::rotate,
        ),
    ]
}

fn devices() -> Vec<Route> {
    let read = Needs::Permission(AssetRead);
    vec![
        Route::new(Get, tenant!("/assets"), read, ("list_assets", "The devices, page by page"), assets::list),
        Route::new(Get, tenant!("/assets/{asset}"), read, ("get_asset", "One device with its vitals"), assets::one),
        Route::new(Get, tenant!("/alerts"), read, ("list_alerts", "The alerts, the newest first"), alerts::list),
    ]
}

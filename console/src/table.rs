//! Every route there is: the router, the check of permissions, the description and the tests come from this table.

use std::sync::LazyLock;

use store::token::Permission::{AssetRead, AssetUpdate, SettingsRead, SettingsUpdate};

use crate::api::{
    alerts, assets, connection, coverage, mappings, merges, meta, parked, pauses, runs, schedules, software, spools,
    webhook,
};
use crate::route::Method::{Get, Patch, Post, Put};
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
pub static TABLE: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let groups = [
        about(),
        connections(),
        syncs(),
        by_itself(),
        organizations(),
        webhooks(),
        merge_proposals(),
        devices(),
        alerts(),
        programs(),
        messages(),
        fleet(),
    ];
    groups.into_iter().flatten().collect()
});

/// See a tenant's connection.
const READ: Needs = Needs::Permission(SettingsRead);
/// Change it, or start what reads from it.
const UPDATE: Needs = Needs::Permission(SettingsUpdate);

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

fn connections() -> Vec<Route> {
    vec![
        Route::new(Get, tactical!(""), READ, ("get_connection", "How the connection stands"), connection::status),
        Route::new(
            Put,
            tactical!(""),
            UPDATE,
            ("save_connection", "Save the connection's settings; what is absent stays"),
            connection::save,
        ),
        Route::new(
            Post,
            tactical!("/test"),
            UPDATE,
            ("test_connection", "Test the connection; a test that succeeds makes it active"),
            connection::test,
        ),
        Route::new(
            Post,
            tactical!("/disconnect"),
            UPDATE,
            ("disconnect", "Delete the secrets and end syncs and webhook; mappings and assets stay"),
            connection::disconnect,
        ),
        Route::new(
            Get,
            tactical!("/coverage"),
            READ,
            ("get_coverage", "Which agents have an alert template that calls the webhook"),
            coverage::get,
        ),
    ]
}

fn syncs() -> Vec<Route> {
    vec![
        Route::new(
            Post,
            tactical!("/sync/clients"),
            UPDATE,
            ("sync_clients", "Read Tactical's clients into the mappings"),
            runs::sync_clients,
        )
        .accepted(),
        Route::new(
            Post,
            tactical!("/sync/devices"),
            UPDATE,
            ("sync_devices", "Read the devices of every mapped client"),
            runs::sync_devices,
        )
        .accepted(),
        Route::new(
            Post,
            tactical!("/sync/software"),
            UPDATE,
            ("sync_software", "Read what is installed on the devices"),
            runs::sync_software,
        )
        .accepted(),
        Route::new(
            Post,
            tactical!("/sync/alerts"),
            UPDATE,
            ("sync_alerts", "Make what is open here and what is open in Tactical one"),
            runs::sync_alerts,
        )
        .accepted(),
        Route::new(Get, tactical!("/runs"), READ, ("list_runs", "The syncs, the newest first"), runs::list),
        Route::new(Get, tactical!("/runs/{run}"), READ, ("get_run", "One sync with its progress by client"), runs::one),
    ]
}

fn by_itself() -> Vec<Route> {
    vec![
        Route::new(
            Get,
            tactical!("/schedules"),
            READ,
            ("list_schedules", "When each kind of sync runs by itself"),
            schedules::list,
        ),
        Route::new(
            Patch,
            tactical!("/schedules/{kind}"),
            UPDATE,
            ("change_schedule", "Change how often a kind of sync runs by itself, or whether"),
            schedules::patch,
        ),
    ]
}

fn organizations() -> Vec<Route> {
    vec![
        Route::new(
            Get,
            tactical!("/organization-mappings"),
            READ,
            ("list_mappings", "Which client each of Tactical's clients is or may be"),
            mappings::list,
        ),
        Route::new(
            Patch,
            tactical!("/organization-mappings"),
            UPDATE,
            ("change_mappings", "Change several mappings: all of them or none"),
            mappings::patch_many,
        ),
        Route::new(
            Patch,
            tactical!("/organization-mappings/{mapping}"),
            UPDATE,
            ("change_mapping", "Change one mapping"),
            mappings::patch_one,
        ),
        Route::new(
            Post,
            tactical!("/organization-mappings/confirm"),
            UPDATE,
            ("confirm_mappings", "Decide whether another server stands behind the connection"),
            mappings::confirm,
        ),
    ]
}

fn webhooks() -> Vec<Route> {
    vec![
        Route::new(
            Get,
            tactical!("/webhook"),
            READ,
            ("get_webhook", "What to enter in Tactical so that its alerts arrive"),
            webhook::get,
        ),
        Route::new(
            Post,
            tactical!("/webhook/rotate"),
            UPDATE,
            ("rotate_webhook_secret", "Replace the webhook's secret; the one before stays good for a while"),
            webhook::rotate,
        ),
    ]
}

fn merge_proposals() -> Vec<Route> {
    let update = Needs::Permission(AssetUpdate);
    vec![
        Route::new(
            Get,
            tactical!("/merge-proposals"),
            Needs::Permission(AssetRead),
            ("list_merge_proposals", "Reinstalled agents whose assets may be one"),
            merges::list,
        ),
        Route::new(
            Post,
            tactical!("/merge-proposals/{proposal}/accept"),
            update,
            ("accept_merge", "Make both assets one; the older one stays"),
            merges::accept,
        ),
        Route::new(
            Post,
            tactical!("/merge-proposals/{proposal}/dismiss"),
            update,
            ("dismiss_merge", "Keep both assets, and do not propose it again"),
            merges::dismiss,
        ),
    ]
}

fn devices() -> Vec<Route> {
    let read = Needs::Permission(AssetRead);
    vec![
        Route::new(Get, tenant!("/assets"), read, ("list_assets", "The devices, page by page"), assets::list),
        Route::new(Get, tenant!("/assets/{asset}"), read, ("get_asset", "One device with its vitals"), assets::one),
    ]
}

fn alerts() -> Vec<Route> {
    let (read, update) = (Needs::Permission(AssetRead), Needs::Permission(AssetUpdate));
    vec![
        Route::new(Get, tenant!("/alerts"), read, ("list_alerts", "The alerts, the newest first"), alerts::list),
        Route::new(
            Post,
            tenant!("/alerts/{alert}/resolve"),
            update,
            ("resolve_alert", "Resolve an alert in Tactical, then here"),
            alerts::resolve,
        ),
        Route::new(
            Post,
            tenant!("/alerts/{alert}/acknowledge"),
            update,
            ("acknowledge_alert", "Note that an alert was seen; Tactical hears nothing of it"),
            alerts::acknowledge,
        ),
    ]
}

fn programs() -> Vec<Route> {
    let read = Needs::Permission(AssetRead);
    vec![
        Route::new(
            Get,
            tenant!("/software"),
            read,
            ("list_software", "The programs by name, with the number of devices that have each"),
            software::list,
        ),
        Route::new(
            Get,
            tenant!("/software/changes"),
            read,
            ("list_software_changes", "What was installed, updated or removed where, the newest first"),
            software::changes,
        ),
        Route::new(
            Get,
            tenant!("/assets/{asset}/software"),
            read,
            ("list_asset_software", "What is installed on one device, by name"),
            software::of_asset,
        ),
    ]
}

/// Of every tenant that the token is for.
fn messages() -> Vec<Route> {
    vec![
        Route::new(
            Get,
            "/api/v1/parked",
            READ,
            ("list_parked", "Messages that nobody could work on or that a pause holds, the newest first"),
            parked::list,
        ),
        Route::new(
            Get,
            "/api/v1/parked/{parked}",
            Needs::Permission(AssetRead),
            ("get_parked", "One parked message with its body, secrets left out"),
            parked::one,
        ),
        Route::new(
            Post,
            "/api/v1/parked/redrive",
            UPDATE,
            ("redrive_parked", "Send parked messages again, as new ones; at most 500 with a request"),
            parked::redrive,
        ),
        Route::new(
            Post,
            "/api/v1/parked/drop",
            UPDATE,
            ("drop_parked", "Delete parked messages for good; at most 500 with a request"),
            parked::discard,
        ),
        Route::new(
            Get,
            "/api/v1/pauses",
            READ,
            ("list_pauses", "Which tenants and kinds are paused, and how much waits"),
            pauses::list,
        ),
        Route::new(
            Post,
            "/api/v1/pauses/pause",
            UPDATE,
            ("pause", "Hold the messages of a tenant, of a kind, or of a kind of a tenant"),
            pauses::pause,
        ),
        Route::new(
            Post,
            "/api/v1/pauses/resume",
            UPDATE,
            ("resume", "End a pause; what it held is sent again"),
            pauses::resume,
        ),
    ]
}

/// Of every tenant.
fn fleet() -> Vec<Route> {
    vec![Route::new(
        Get,
        "/api/v1/spools",
        Needs::EveryTenant(SettingsRead),
        ("list_spools", "What the spool of each gateway holds"),
        spools::list,
    )]
}

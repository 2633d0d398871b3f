//! Every route of the table x every caller, generated; and that there is nothing beside the table.
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod support;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use console::{Route, TABLE};
use store::token::{self, Permission};
use support::{Answer, OTHER, TENANT, World, entry, make};
use uuid::Uuid;

/// The route's path with ids that nothing has.
fn path(route: &Route, tenant: Uuid) -> String {
    let parts = route.path.split('/').map(|part| match part {
        "{tenant}" => tenant.to_string(),
        part if part.starts_with('{') => Uuid::from_u128(0xabc).to_string(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

fn has_tenant(route: &Route) -> bool {
    route.path.contains("{tenant}")
}

/// What an unknown or foreign tenant's resources are answered with.
fn is_no_tenant(answer: &Answer) -> bool {
    answer.status == 404 && answer.json["detail"].as_str().is_some_and(|text| text.contains("no such tenant"))
}

fn is_let_through(answer: &Answer) -> bool {
    !matches!(answer.status, 401 | 403 | 405 | 500..) && !is_no_tenant(answer)
}

#[tokio::test]
async fn each_route_lets_through_who_has_its_permission_and_nobody_else() {
    let world = World::start().await;
    let store = &world.store;
    for route in TABLE.iter() {
        let ask = async |token: &str| world.send(route.method.as_str(), &path(route, TENANT), Some(token), "").await;
        for permission in Permission::ALL {
            let has = route.permission().is_none_or(|needed| needed == permission);
            for tenant in [Some(TENANT), None] {
                let may = has && !(route.is_of_every_tenant() && tenant.is_some());
                let (_, token) = make(store, tenant, &[permission], None).await;
                let answer = ask(&token).await;
                if may {
                    assert!(is_let_through(&answer), "{route:?} with {permission} of {tenant:?}: {answer:?}");
                } else {
                    let said = answer.problem(403, "forbidden")["detail"].to_string();
                    let wanted = if has { "all tenants" } else { route.permission().unwrap().as_str() };
                    assert!(said.contains(wanted), "{route:?}: {said}");
                }
            }
        }
        // all but the needed one together are no substitute for it
        if let Some(needed) = route.permission() {
            let rest: Vec<_> = Permission::ALL.into_iter().filter(|permission| *permission != needed).collect();
            ask(&world.token(&rest).await).await.problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn no_route_answers_without_a_good_token() {
    let world = World::start().await;
    let store = &world.store;
    let (_, expired) = make(store, None, &Permission::ALL, Some(TimeDelta::seconds(-1))).await;
    let (revoked, revoked_text) = make(store, None, &Permission::ALL, None).await;
    token::revoke(store, revoked.token_id, &entry()).await.unwrap();
    let (_, good) = make(store, None, &Permission::ALL, None).await;
    let bad = format!("{}0", &good[..good.len() - 1]);
    let bad = if bad == good { format!("{}1", &good[..good.len() - 1]) } else { bad };
    for route in TABLE.iter() {
        for token in
            [None, Some(""), Some("muster_"), Some(&*bad), Some(&*expired), Some(&*revoked_text), Some(&good[7..])]
        {
            let answer = world.send(route.method.as_str(), &path(route, TENANT), token, "").await;
            answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[tokio::test]
async fn a_foreign_tenant_an_unknown_one_and_a_malformed_one_look_alike() {
    let world = World::start().await;
    let store = &world.store;
    let (_, all) = make(store, Some(TENANT), &Permission::ALL, None).await;
    let (_, nothing) = make(store, Some(TENANT), &[], None).await;
    let (_, everywhere) = make(store, None, &Permission::ALL, None).await;
    let unknown = Uuid::from_u128(0xdead);
    for route in TABLE.iter().filter(|route| has_tenant(route)) {
        let ask = async |token: &str, path: String| world.send(route.method.as_str(), &path, Some(token), "").await;
        let foreign = ask(&all, path(route, OTHER)).await;
        foreign.problem(404, "not-found");
        let malformed = path(route, TENANT).replace(&TENANT.to_string(), "x");
        for answer in [
            ask(&all, path(route, unknown)).await,
            ask(&nothing, path(route, OTHER)).await,
            ask(&nothing, path(route, unknown)).await,
            ask(&everywhere, path(route, unknown)).await,
            ask(&all, malformed).await,
        ] {
            assert_eq!((answer.status, &answer.text), (404, &foreign.text), "{route:?}");
        }
        assert!(is_let_through(&ask(&everywhere, path(route, OTHER)).await), "{route:?}");
    }
}

#[tokio::test]
async fn there_is_no_route_outside_the_table() {
    let world = World::start().await;
    let (_, token) = make(&world.store, None, &Permission::ALL, None).await;
    let known: BTreeSet<String> = TABLE.iter().map(|route| path(route, TENANT)).collect();
    let mut guesses: BTreeSet<String> =
        ["/", "/api", "/api/v2/whoami", "/metrics", "/debug", "/api/v1/tokens", "/docs"].map(str::to_owned).into();
    for path in &known {
        guesses.extend([format!("{path}/"), format!("{path}/x"), path.to_uppercase()]);
        guesses.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    }
    guesses.retain(|guess| !guess.is_empty() && !TABLE.iter().any(|route| fits(route, guess)));
    assert!(guesses.len() > 50, "{guesses:?}");
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
        for guess in &guesses {
            let answer = world.send(method, guess, Some(&token), "").await;
            answer.problem(404, "not-found");
        }
        for path in &known {
            if !TABLE.iter().any(|route| route.method.as_str() == method && fits(route, path)) {
                let answer = world.send(method, path, Some(&token), "").await;
                answer.problem(405, "method-not-allowed");
                assert!(!answer.header("allow").is_empty() && !answer.header("allow").contains(method), "{answer:?}");
            }
        }
    }
}

/// An id may have any form: then it is the row of the table all the same.
fn fits(route: &Route, path: &str) -> bool {
    let (wanted, given): (Vec<_>, Vec<_>) = (route.path.split('/').collect(), path.split('/').collect());
    let fits = |(wanted, given): (&&str, &&str)| wanted == given || (wanted.starts_with('{') && !given.is_empty());
    wanted.len() == given.len() && wanted.iter().zip(&given).all(fits)
}

#[tokio::test]
async fn the_description_is_the_table_and_the_committed_file() {
    let document = serde_json::to_value(console::openapi::document()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert((
                method.to_uppercase(),
                path.clone(),
                operation["operationId"].as_str().unwrap().to_owned(),
            ));
        }
    }
    let table: BTreeSet<_> = TABLE
        .iter()
        .map(|route| (route.method.as_str().to_owned(), route.path.to_owned(), route.operation.to_owned()))
        .collect();
    assert_eq!(described, table);
    let names: BTreeSet<_> = TABLE.iter().map(|route| route.operation).collect();
    assert_eq!(names.len(), TABLE.len(), "an operation's name is its own");

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let text = console::openapi::text();
    if std::env::var_os("MUSTER_WRITE_OPENAPI").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == text,
        "openapi.json is not the API's: run this test with MUSTER_WRITE_OPENAPI=1 and commit it"
    );
    for reference in text.lines().filter_map(|line| line.split("#/components/schemas/").nth(1)) {
        let name = reference.trim_end_matches(['"', ',']);
        assert!(!document["components"]["schemas"][name].is_null(), "{name} is referred to and not described");
    }
}

//! The gateway's own role: its statements need no rights but those of `deploy/roles/gateway.sql`.

use std::time::Duration;

use store::hook;
use store::run::Kind;
use store::schedule::{self, Outcome, ROWS_MAX};
use store::spool::Holding;
use store::{Config, Store};
use uuid::Uuid;

use crate::world::World;

const RIGHTS: &str = include_str!("../../../../deploy/roles/gateway.sql");

#[tokio::test]
async fn the_gateways_statements_need_no_rights_but_those_that_are_documented() {
    let world = World::new().await;
    let role = format!("muster_test_role_{}", Uuid::new_v4().simple());
    world.run(&format!("create role {role}; {}", RIGHTS.replace(":role", &role))).await;
    let url = world.database.url();
    let url = format!("{url}{}options[role]={role}", if url.contains('?') { '&' } else { '?' });
    let gateway = Store::lazy(&Config::for_url(&url), "gateway").unwrap();
    let tenant = world.tenant;
    let (host, folder) = ("gateway-1".to_owned(), "/var/lib/muster/spool".to_owned());
    let (records, set_aside, bytes) = (1, 0, 1_000);
    let (oldest_age, refusal, is_spooling) = (Some(Duration::from_secs(1)), None, true);
    let holding = Holding { host, folder, records, set_aside, bytes, oldest_age, refusal, is_spooling };

    let done = async {
        hook::version(&gateway).await?;
        hook::snapshot(&gateway).await?;
        hook::find(&gateway, tenant).await?;
        drop(hook::listen(&gateway).await?);
        gateway.database_now().await?;
        store::spool::note(&gateway, &holding).await?;
        world.run("insert into muster.reconcile_wish select tenant, integration_id, now() from rmm_integrations").await;
        schedule::follow_clock(&gateway).await?;
        let mut ticks = schedule::tick(&gateway, ROWS_MAX).await?;
        for kind in [Kind::Clients, Kind::Devices, Kind::Software] {
            world.due(kind).await;
        }
        ticks.extend(schedule::tick(&gateway, ROWS_MAX).await?);
        // one that makes no progress is sent again
        world.run("update muster.run set requested_at = now() - interval '1 hour'").await;
        world.due(Kind::Clients).await;
        ticks.extend(schedule::tick(&gateway, ROWS_MAX).await?);
        Ok::<_, store::Error>(ticks.iter().map(|tick| tick.outcome).collect::<Vec<_>>())
    };
    let done = done.await;
    let secrets = store::secret::get(&gateway, tenant, store::secret::API_KEY).await;
    gateway.close().await;
    // it acts with its owner's rights on any tenant
    let arm = format!("begin; set local role {role}; select muster.set_schedules('{tenant}', '{tenant}', true)");
    let armed = sqlx::raw_sql(sqlx::AssertSqlSafe(arm)).execute(&mut world.database.connect().await).await;
    world.run(&format!("drop owned by {role}; drop role {role}")).await;
    let outcomes = done.unwrap_or_else(|error| panic!("{}", error.chain()));
    assert_eq!(outcomes.len(), 5, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Started).count(), 4);
    assert!(outcomes.contains(&Outcome::Resent));
    assert!(secrets.is_err(), "it is its own role, and sees no secret");
    let refused = armed.unwrap_err();
    let code = refused.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
    assert_eq!(code.as_deref(), Some("42501"), "it makes no schedules: {refused}");
}

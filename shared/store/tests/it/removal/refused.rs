//! Removals that cannot come to their end.

use store::removal;
use store::testing::TestDatabase;

use super::{IS_OFF, left, two};
use crate::text;

#[tokio::test]
async fn where_something_goes_on_writing_it_gives_up_and_says_so() {
    let database = TestDatabase::create().await;
    let (tenant, _, _) = two(&database).await;
    // a row of one table that goes comes back in the other
    let write = format!(
        "create function again() returns trigger language plpgsql as $$ begin
             if tg_table_name = 'site' then
                 insert into muster.imported (tenant, integration_id, kind, scope) values ('{tenant}', gen_random_uuid(), 'x', '');
             else
                 insert into muster.site values ('{tenant}', gen_random_uuid(), '9', '9', 'again');
             end if;
             return null;
         end $$;
         create trigger again after delete on muster.site for each row execute function again();
         create trigger again after delete on muster.imported for each row execute function again()"
    );
    database.execute(&write).await;
    let given_up = removal::remove(&database.store(), tenant, false, "anna").await.expect_err("there is no end of it");
    assert!(matches!(given_up, store::Error::Refused { .. }), "{given_up}");
    assert!(given_up.to_string().contains("goes on writing"), "{given_up}");
    assert_eq!(text(&database, IS_OFF).await, "true", "what was done is done");
}

#[tokio::test]
async fn a_row_of_algapsas_that_a_table_of_somebodys_refers_to_stays_and_is_named() {
    let database = TestDatabase::create().await;
    let (tenant, _, _) = two(&database).await;
    let refer = format!(
        "create table somebodys (tenant uuid, integration_id uuid,
             foreign key (tenant, integration_id) references rmm_integrations (tenant, integration_id));
         insert into somebodys select tenant, integration_id from rmm_integrations where tenant = '{tenant}'"
    );
    database.execute(&refer).await;
    let refused = removal::remove(&database.store(), tenant, true, "anna").await.expect_err("it is referred to");
    assert!(matches!(refused, store::Error::Data { .. }), "{refused}");
    assert!(fault::chain(&refused).contains("somebodys"), "{}", fault::chain(&refused));
    database.execute("drop table somebodys").await;
    removal::remove(&database.store(), tenant, true, "anna").await.expect("asked for again it goes on");
    assert!(!left(&database, tenant).await.contains("public.rmm_integrations"));
}

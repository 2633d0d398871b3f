//! The everyday cases of the fault suite; `./dev faults` runs all of them, and longer.

use std::collections::BTreeSet;

use tests::faults::{self, Length, Report};

/// The seed is fixed: a failure is then the change's own.
const SEED: u64 = 7;

/// Each everyday case as a test, by what it shows.
macro_rules! everyday {
    ($($claim:ident => $name:literal,)*) => {
        const NAMES: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $claim() {
                passes($name);
            }
        )*
    };
}

everyday! {
    a_worker_killed_in_its_transaction_loses_and_doubles_nothing => "worker-killed-in-transaction",
    a_worker_killed_after_its_commit_loses_and_doubles_nothing => "worker-killed-before-ack",
    workers_killed_again_and_again_lose_and_double_nothing => "workers-killed-again-and-again",
    workers_that_are_replaced_one_by_one_lose_and_double_nothing => "workers-rolled",
    every_message_three_times_in_any_order_has_its_effect_once => "order-shuffled",
    a_resolve_may_come_long_before_its_open => "order-resolve-first",
    a_broker_that_goes_silent_loses_and_doubles_nothing => "broker-half-open",
    exchanges_that_were_deleted_are_declared_anew_and_nothing_is_lost => "broker-exchange-deleted",
    a_postgres_that_was_stopped_at_once_loses_and_doubles_nothing => "postgres-stopped",
    sessions_that_end_in_their_transactions_lose_and_double_nothing => "postgres-sessions-ended",
    what_nobody_can_read_is_parked_and_harms_nobody => "poison-unreadable",
    odd_webhooks_harm_nobody => "poison-webhooks",
    a_gateway_killed_again_and_again_loses_nothing_that_it_took => "gateway-killed",
    a_gateway_takes_webhooks_although_it_starts_without_postgres => "gateway-restarted-without-postgres",
    a_gateway_on_a_kept_socket_refuses_nobody_while_it_is_restarted => "gateway-restart-refuses-nobody",
    a_gateway_whose_broker_hangs_is_restarted_while_callers_wait => "gateway-restarted-beside-a-hung-broker",
    a_tactical_that_answers_503_costs_nothing_but_time => "tactical-5xx",
    a_tactical_that_answers_with_html_resolves_nothing => "tactical-html",
    a_role_that_is_narrowed_resolves_nothing => "tactical-role-narrowed",
    events_go_on_once_their_deleted_exchange_is_bound_again => "broker-events-exchange-deleted",
    an_old_worker_beside_a_new_one_costs_no_message_and_no_attempt => "version-old-and-new",
    a_kind_that_nobody_knows_waits_for_one_who_does => "version-unknown-waits",
}

/// Limits of time are the program's to compare: here other tests run at the same time.
fn passes(name: &str) {
    let case = faults::named(name).into_iter().find(|case| case.name == name).expect("there is such a case");
    let logs = std::env::temp_dir().join(format!("muster-faults-{}", std::process::id()));
    let report: Report = faults::run(case, SEED, Length::Short, &logs);
    assert!(report.findings().is_empty(), "{}", report.story());
    // a process may run several tests: what others keep there stays
    let _ = std::fs::remove_dir(&logs);
}

#[test]
fn every_everyday_case_is_a_test() {
    let everyday: BTreeSet<&str> = faults::all().filter(|case| case.is_everyday).map(|case| case.name).collect();
    assert_eq!(NAMES.iter().copied().collect::<BTreeSet<_>>(), everyday);
}

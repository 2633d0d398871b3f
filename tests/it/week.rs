//! A simulated week: two tenants with a server each, on which everything happens that happens in the field, and at the end
//! Postgres is what the keys may see. `./dev test` plays a day, `./dev week` the whole of it.
//!
//! The servers' clocks are pushed, and the database's stamps are moved back by the same time, those of the schedules among
//! them: what is then due by their own intervals the gateway begins ([`drive`], [`clock`]). What happens is drawn from a seed
//! ([`script`]); when it meets a sync that is under way is up to the machine, and must not matter.

mod clock;
mod compare;
mod devices;
mod drive;
mod events;
mod programs;
mod relay;
mod script;
mod seen;
mod settings;
mod side;
mod summary;
mod told;
mod upheaval;

use drive::Week;
use settings::Settings;

// the proxies must go on while the fleet is stopped
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_simulated_week_postgres_is_what_the_keys_may_see() {
    let settings = Settings::read();
    println!("repeat with: {}", settings.command());
    let mut week = Week::start(settings).await;
    for hour in 0..settings.hours {
        week.hour(hour).await;
        if (hour + 1).is_multiple_of(24) {
            println!("{} of {} simulated hours", hour + 1, settings.hours);
        }
    }
    week.settle().await;
    let differences = week.differences().await;
    println!("{}", week.summary().await);
    assert!(
        differences.is_empty(),
        "{} differences; repeat with: {}\n{}",
        differences.len(),
        settings.command(),
        differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    week.assert_all_happened().await;
}

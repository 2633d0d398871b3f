//! The week's hours: what happens, what breaks, and the end, when nothing happens any more.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use store::run::{Kind, PartState, State};
use tests::simulator::{Fault, FaultKind};
use tests::{DEADLINE, Fleet};

use super::clock;
use super::compare;
use super::devices;
use super::events::Events;
use super::programs;
use super::settings::Settings;
use super::side::Side;

/// Rounds of syncs at the end, and simulated hours from one to the next.
pub(super) const SETTLE_ROUNDS: u32 = 3;
pub(super) const SETTLE_HOURS: i64 = 2;

/// Devices of a side whose list of programs comes empty at the end.
const EMPTIED: usize = 3;

/// A moment of the week in percent of it.
fn at(settings: &Settings, percent: u32) -> u32 {
    settings.hours * percent / 100
}

/// A fleet with two tenants, and their week.
pub(super) struct Week {
    pub(super) settings: Settings,
    rng: StdRng,
    // before the fleet: whoever sends ends before whoever receives
    pub(super) sides: Vec<Side>,
    pub(super) events: Events,
    pub(super) fleet: Fleet,
}

impl Week {
    /// Both tenants connected, and wholly synced once.
    pub(super) async fn start(settings: Settings) -> Self {
        let fleet = Fleet::builder()
            .workers(1)
            .sync_workers(1)
            .inventory_workers(1)
            .console()
            .proxies()
            .ticks()
            // a sync is asked for through the outbox, and nobody waits two seconds for each of some hundreds
            .set("MUSTER_RELAY_SWEEP_MS", 50)
            .start()
            .await;
        let events = Events::bind(fleet.amqp()).await;
        let wide = Side::start(&fleet, ("wide", [(Kind::Software, 240), (Kind::Alerts, 15)]), &settings).await;
        let narrow = Side::start(&fleet, ("narrow", [(Kind::Software, 360), (Kind::Devices, 120)]), &settings).await;
        let rng = StdRng::seed_from_u64(settings.seed);
        let mut week = Self { settings, rng, sides: vec![wide, narrow], events, fleet };
        week.events.note_import(&week.fleet, &week.sides).await;
        week.note_devices().await;
        week
    }

    /// One simulated hour.
    pub(super) async fn hour(&mut self, hour: u32) {
        self.plan(hour);
        for step in 0..self.settings.steps_per_hour() {
            self.step((step == 0).then_some(hour)).await;
        }
        self.note_devices().await;
    }

    /// A part of an hour: half of it happens before the slots of the schedules come, half while what they start is under way.
    /// `hour`: it is the first part of that hour, in which something may break.
    async fn step(&mut self, hour: Option<u32>) {
        let half = self.settings.step() / 2;
        for side in &mut self.sides {
            side.script.play(half);
        }
        clock::passes(&self.fleet, self.settings.step()).await;
        if let Some(hour) = hour {
            self.break_something(hour).await;
        }
        for side in &mut self.sides {
            side.script.play(half);
            assert!(side.control().webhooks_finished(DEADLINE * 3).await, "the gateway did not take them in time");
            side.relay.release().await;
        }
        for side in &self.sides {
            side.until_quiet(&self.fleet).await;
            side.confirm().await;
        }
    }

    /// What happens once or twice in a week, each at its hour.
    fn plan(&mut self, hour: u32) {
        let settings = self.settings;
        let is = |percent| hour == at(&settings, percent);
        let [wide, narrow] = self.sides.as_mut_slice() else { unreachable!("there are two sides") };
        if is(25) {
            wide.script.back_up();
            narrow.script.back_up();
            narrow.script.delete_site();
        }
        if is(35) {
            wide.script.delete_site();
            narrow.script.delete_client();
        }
        if is(45) {
            wide.script.restore();
        }
        if is(50) {
            wide.script.delete_client();
        }
        if is(60) {
            narrow.script.restore();
        }
        for (side, narrowed, widened, fails) in [(wide, 55, 72, 78), (narrow, 83, 101, 20)] {
            if is(narrowed) {
                side.narrow_to_some();
            }
            if is(widened) {
                side.widen();
            }
            if is(fails) {
                // an hour of the page that a proxy shows during an update
                let kind = FaultKind::Html;
                side.control().add_fault(Fault { path_prefix: String::new(), kind, requests: None });
                side.script.count("outage");
            }
            if hour == at(&settings, fails) + 1 {
                side.control().clear_faults();
            }
        }
    }

    /// Deaths. A worker that was killed is replaced at once; the others go on by themselves.
    async fn break_something(&mut self, hour: u32) {
        if hour % 24 == 9 {
            self.fleet.amqp_proxy().cut();
            self.sides[0].script.count("broker away");
        }
        if hour % 24 == 11 {
            self.fleet.database_proxy().cut();
            self.sides[0].script.count("database away");
        }
        if hour % 8 == 5 {
            self.kill_one(hour / 8).await;
        }
    }

    /// kill -9, in the middle of whatever it does.
    async fn kill_one(&mut self, turn: u32) {
        let side = usize::from(self.rng.random_bool(0.5));
        for kind in [Kind::Alerts, Kind::Devices, Kind::Software] {
            self.sides[side].start_run(kind).await;
        }
        let newest = (turn / 3) as usize;
        match turn % 3 {
            0 => {
                self.fleet.worker(newest).kill();
                self.fleet.add_worker().await;
            }
            1 => {
                self.fleet.sync_worker(newest).kill();
                self.fleet.add_sync_worker().await;
            }
            _ => {
                self.fleet.inventory_worker(newest).kill();
                self.fleet.add_inventory_worker().await;
            }
        }
        self.sides[0].script.count("worker killed");
    }

    /// Remembers which agents have a device, which never goes, and which of them were missing while the key saw all.
    async fn note_devices(&mut self) {
        for side in &mut self.sides {
            let devices = devices::rows(&self.fleet, side.tenant).await;
            if side.role().sees_all() {
                let missing = devices.iter().filter(|(_, device)| device.missing_since.is_some());
                side.missing = missing.map(|(agent_id, _)| agent_id.clone()).collect();
            }
            side.imported.extend(devices.into_keys());
        }
    }

    /// Nothing happens any more, and everything is read as often as it takes to know it: twice, since a list of programs
    /// that came empty is believed by its second report, and a device that no list shows is looked for once an hour.
    pub(super) async fn settle(&mut self) {
        self.fleet.until_idle().await;
        for round in 0..SETTLE_ROUNDS {
            clock::passes(&self.fleet, TimeDelta::hours(SETTLE_HOURS)).await;
            for side in &self.sides {
                side.until_quiet(&self.fleet).await;
            }
            for place in 0..self.sides.len() {
                for kind in [Kind::Clients, Kind::Devices, Kind::Software, Kind::Alerts] {
                    self.last_sync(place, kind, round).await;
                }
            }
            self.fleet.until_idle().await;
            match round {
                0 => self.sides[0].accept_merges().await,
                1 => self.empty_lists().await,
                _ => {}
            }
        }
        self.note_devices().await;
    }

    /// Some lists of programs come empty. One report is not believed, nor is another look at the same one; that of the last
    /// round, hours later, is.
    async fn empty_lists(&mut self) {
        for side in &mut self.sides {
            let devices = devices::rows(&self.fleet, side.tenant).await;
            let shown = programs::shown(&self.fleet, side.tenant).await;
            let (role, mut agents) = (side.role(), side.control().agents());
            agents.retain(|agent| {
                let is_shown = agent.status == "online" && role.sees(agent.client.0, agent.site.0);
                is_shown && devices.get(&agent.agent_id).is_some_and(|device| shown.has_any(device.asset_id))
            });
            agents.truncate(EMPTIED);
            for agent in &agents {
                side.control().set_report_empty(agent.pk, true).expect("the agent exists");
            }
            for look in 1..=2 {
                let run_id = side.start_run(Kind::Software).await.expect("nothing is held any more");
                side.ended(&self.fleet, run_id).await;
                let shown = programs::shown(&self.fleet, side.tenant).await;
                let lost = agents.iter().find(|agent| !shown.has_any(devices[&agent.agent_id].asset_id));
                let repeat = self.settings.command();
                assert!(lost.is_none(), "{}: empty after look {look}: {lost:?}; repeat with: {repeat}", side.name);
            }
        }
    }

    /// A sync when nothing happens any more: it completes, save for clients that Tactical does not show.
    async fn last_sync(&mut self, place: usize, kind: Kind, round: u32) {
        let side = &mut self.sides[place];
        let Some(run_id) = side.start_run(kind).await else {
            side.confirm().await;
            return;
        };
        let (run, parts) = side.ended(&self.fleet, run_id).await;
        side.confirm().await;
        if kind == Kind::Alerts {
            side.unverifiable = run.counts.unverifiable;
        }
        if round == 0 {
            return;
        }
        let shown: BTreeSet<String> = side.shown_clients().iter().map(|client| format!("client:{client}")).collect();
        let hidden = parts.iter().filter(|part| part.state == PartState::Failed && !shown.contains(&part.name)).count();
        let is_whole = run.parts_failed == hidden as i64 && run.state != State::Failed;
        let what = format!("{}: {} in round {round}", side.name, kind.as_str());
        assert!(is_whole, "{what}: {run:#?} {parts:#?}; repeat with: {}", self.settings.command());
    }

    /// What is not as it should be, in words.
    pub(super) async fn differences(&mut self) -> Vec<String> {
        let (mut differences, mut rows) = (Vec::new(), BTreeMap::new());
        for side in &self.sides {
            rows.insert(side.tenant, devices::rows(&self.fleet, side.tenant).await);
            let found = compare::side(&self.fleet, side).await;
            differences.extend(found.into_iter().map(|one| format!("{}: {one}", side.name)));
        }
        differences.extend(compare::tenants(&self.fleet, &self.sides).await);
        differences.extend(self.events.differences(&self.fleet, &self.sides, &rows).await);
        differences
    }
}

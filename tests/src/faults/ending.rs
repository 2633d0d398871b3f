//! The end of a trial: the load ends, the fleet comes to rest, and everything is compared.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use contract::{DeviceRefresh, Message as _};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use sqlx::PgPool;
use url::Url;
use uuid::Uuid;

use super::checks;
use super::facts::{self, Rows};
use super::trial::now_ns;
use super::{Outcome, Side, Trial};
use crate::fleet::{PEPPER, VAULT_KEY};
use crate::{DEADLINE, until, within};

/// Webhooks of each server after everything else: whatever was done, the fleet goes on.
const LAST_WORDS: u64 = 5;
/// Traces that are looked at.
const TRACES_MAX: usize = 400;
/// Passwords that are shorter stand in logs by chance.
const SECRET_CHARS_MIN: usize = 8;

impl Trial {
    /// Ends the load, waits until the fleet has nothing left to do, checks every invariant, and ends the fleet.
    ///
    /// # Panics
    /// If the fleet does not come to rest, leaves messages behind (I4), or a program has ended that the case has neither
    /// ended nor allowed to.
    pub async fn finish(mut self) -> Outcome {
        let ended = self.fleet.ended_by_themselves();
        assert!(ended.is_empty(), "nobody has ended them: {ended:#?}");
        if let Some(load) = self.load.take() {
            load.end().await;
        }
        for side in &self.sides {
            side.until_answered().await;
        }
        self.last_words().await;
        let mut outcome = Outcome { slowest: self.slowest, ..Outcome::default() };
        let lost = self.webhooks(&mut outcome).await;
        self.polls(&mut outcome).await;
        self.events(&mut outcome).await;
        self.parked(&mut outcome).await;
        if self.are_traces_checked {
            outcome.note("I8", self.traces().await);
        }
        let mut texts = self.answers().await;
        texts.extend(parked_texts(&self.sql).await);
        let secrets = self.secrets();
        outcome.findings.extend(self.fleet.ended_by_themselves());
        let logs = self.fleet.log_files();
        let Self { sides, fleet, receiver, sql, .. } = self;
        sql.close().await;
        drop(sides);
        // I4: it panics where something is left
        drop(fleet);
        let spans = receiver.spans();
        // all of it: what failed stands in the events, with the whole chain of errors
        texts.extend(spans.iter().map(|span| (format!("span {}", span.name), format!("{span:?}"))));
        let texts = texts.iter().map(|(place, text)| (place.as_str(), text.as_str()));
        outcome.note("I7", checks::told_secrets(&secrets, texts));
        outcome.note("I7", told_in_logs(&secrets, &logs));
        outcome.reflected = outcome.taken.saturating_sub(lost);
        outcome
    }

    /// A few webhooks that must be taken, whose traces nobody took along.
    async fn last_words(&self) {
        until(DEADLINE, async || match checks::is_told_whole(now_ns(), &self.kills_ns) {
            true => Ok(()),
            false => Err("a program was killed just now"),
        })
        .await;
        for side in &self.sides {
            let before = side.control().webhook_count();
            side.control().storm(LAST_WORDS);
            side.until_answered().await;
            let said = side.control().webhooks_after(before, usize::MAX);
            let refused: Vec<_> = said.iter().filter(|webhook| webhook.status != Some(202)).collect();
            assert!(refused.is_empty(), "the fleet takes no webhooks any more: {refused:#?}");
        }
    }

    /// I1 and I6; how many effects are lost.
    async fn webhooks(&self, outcome: &mut Outcome) -> u64 {
        if !self.may_refuse {
            outcome.note("I1", checks::refused(&self.refusals()));
        }
        for side in &self.sides {
            let facts = side.facts(self.polled_until);
            // what is lost is reported below, and does not end the trial
            let waiting = within(DEADLINE * 3, async || match checks::lost(&facts, &self.rows(side).await) {
                lost if lost.is_empty() => Ok(()),
                lost => Err(lost),
            });
            let _ = waiting.await;
        }
        // openings are numbered once more after their rows are there
        self.fleet.until_idle().await;
        let mut lost = 0;
        for side in &self.sides {
            let (sent, taken) = facts::counts(&side.control());
            outcome.sent += sent;
            outcome.taken += taken;
            let (facts, rows) = (side.facts(self.polled_until), self.rows(side).await);
            let missing = checks::lost(&facts, &rows);
            lost += missing.len() as u64;
            outcome.note("I1", missing);
            outcome.note("I1", checks::unsaid(&facts, &rows));
            outcome.note("I1", checks::miscounted(&rows));
            outcome.note("I6", checks::foreign(&facts, &rows));
        }
        lost
    }

    /// I3, and I6 once more: nothing may have come by the poll.
    async fn polls(&self, outcome: &mut Outcome) {
        for side in &self.sides {
            side.reconcile(&self.fleet).await;
        }
        self.fleet.until_idle().await;
        for side in &self.sides {
            let (facts, rows) = (side.facts(self.polled_until), self.rows(side).await);
            outcome.note("I3", checks::untrue(&facts, &rows));
            outcome.note("I3", checks::miscounted(&rows));
            outcome.note("I6", checks::foreign(&facts, &rows));
        }
        let mut known: Vec<Uuid> = self.sides.iter().map(|side| side.tenant).collect();
        known.push(self.fleet.connection().tenant);
        outcome.note("I6", strangers(&self.sql, &known).await);
    }

    /// I2.
    async fn events(&mut self, outcome: &mut Outcome) {
        self.keep_events().await;
        let bystander = facts::rows(&self.sql, self.fleet.connection().tenant).await.expect("the database answers");
        let rows = [self.rows(&self.sides[0]).await, self.rows(&self.sides[1]).await, bystander];
        let retold = checks::retold(&self.changes, &rows.each_ref(), &self.untold);
        outcome.duplicated = checks::doubled(&self.changes) as u64;
        outcome.note("I2", retold);
    }

    /// I4, as far as it is more than empty queues.
    async fn parked(&self, outcome: &mut Outcome) {
        self.fleet.until_nothing_is_due_later().await;
        // the shared broker tells it late, which every day has no time for
        if self.ground.pick(false, true) || self.fleet.has_own_broker() {
            let left = self.fleet.dead_letters_left().await;
            outcome
                .note("I4", left.map(|left| format!("dead letters are still under way: {left}")).into_iter().collect());
        }
        outcome.note("I4", outbox(&self.sql).await);
        let count = store::parked::count(&self.fleet.store()).await.expect("the database answers");
        if count != self.parked {
            let rows = store::parked::list(&self.fleet.store(), 5).await.expect("the database answers");
            outcome.note("I4", vec![format!("{count} messages are parked, {} were planted: {rows:#?}", self.parked)]);
        }
    }

    /// I8, but for what processes that were killed may have taken along.
    async fn traces(&self) -> Vec<String> {
        let looked = async || {
            let spans = self.receiver.spans();
            let touched = checks::touched(&spans, &self.kills_ns);
            let mut accepted = checks::accepted(&spans);
            accepted.retain(|(ended_ns, trace)| *ended_ns > self.spans_lost_until_ns && !touched.contains(trace));
            accepted.shuffle(&mut StdRng::seed_from_u64(self.ground.seed));
            let traces: Vec<String> = accepted.into_iter().map(|(_, trace)| trace).take(TRACES_MAX).collect();
            match traces.len() as u64 {
                // the last words of both servers at least
                few if few < 2 * LAST_WORDS => vec![format!("only {few} webhooks have a trace")],
                _ => checks::broken_traces(&spans, &traces),
            }
        };
        let whole = within(DEADLINE, async || match looked().await {
            broken if broken.is_empty() => Ok(()),
            broken => Err(broken),
        });
        whole.await.err().unwrap_or_default()
    }

    async fn rows(&self, side: &Side) -> Rows {
        side.rows(&self.sql).await.unwrap_or_else(|error| panic!("read the rows of tenant {}: {error}", side.name))
    }

    /// What the gateway says to strangers and to nonsense.
    async fn answers(&self) -> Vec<(String, String)> {
        let (side, mut answers) = (&self.sides[0], Vec::new());
        let url = contract::webhook::url(&format!("http://{}", self.gateway.address()), side.tenant);
        for (secret, body) in [(side.secret.as_str(), "not JSON"), (&self.sides[1].secret, "{}"), (&side.secret, "{}")]
        {
            let sent =
                reqwest::Client::new().post(&url).header(contract::webhook::HEADER, secret).body(body).send().await;
            let answer = sent.expect("the gateway answers");
            let status = answer.status();
            answers.push((format!("the answer {status}"), answer.text().await.unwrap_or_default()));
        }
        answers
    }

    /// Everything that must stand nowhere.
    fn secrets(&self) -> Vec<(&'static str, String)> {
        let mut secrets = vec![
            ("the vault's key", VAULT_KEY.to_owned()),
            ("the pepper", PEPPER.to_owned()),
            ("the broker's password", "guest:guest".to_owned()),
        ];
        secrets.extend(self.sides.iter().map(|side| ("a webhook's secret", side.secret.clone())));
        secrets.extend(self.sides.iter().map(|side| ("an API key", side.api_key.clone())));
        let url = Url::parse(self.fleet.database().url()).expect("it is a URL");
        let password = url.password().filter(|password| password.len() >= SECRET_CHARS_MIN);
        secrets.extend(password.map(|password| ("the database's password", password.to_owned())));
        secrets
    }
}

impl Outcome {
    /// Notes what breaks an invariant.
    fn note(&mut self, invariant: &str, findings: Vec<String>) {
        self.findings.extend(findings.into_iter().map(|finding| format!("{invariant}: {finding}")));
    }
}

/// I6: rows of tenants that there are not, and rows that lead to another tenant's.
async fn strangers(sql: &PgPool, known: &[Uuid]) -> Vec<String> {
    let tables = "select format('%I.%I', table_schema, table_name) from information_schema.columns
                  where column_name = 'tenant' and table_schema in ('public', 'muster')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(sql).await.expect("the database answers");
    let mut wrong = Vec::new();
    for table in tables {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table} where tenant <> all ($1)"));
        let count: i64 = sqlx::query_scalar(count).bind(known).fetch_one(sql).await.expect("the database answers");
        if count > 0 {
            wrong.push(format!("{table} has {count} rows of no tenant"));
        }
    }
    let crossed = "select count(*) from rmm_alerts a left join rmm_integrations i using (tenant, integration_id)
                   where i.integration_id is null";
    let crossed: i64 = sqlx::query_scalar(crossed).fetch_one(sql).await.expect("the database answers");
    if crossed > 0 {
        wrong.push(format!("{crossed} alerts lead to another tenant's connection"));
    }
    wrong
}

/// I4: what nobody has published. A refresh that is due later may wait.
async fn outbox(sql: &PgPool) -> Vec<String> {
    let left = "select kind, count(*) from muster.outbox where available_at <= now() or kind <> $1 group by kind";
    let left = sqlx::query_as::<_, (String, i64)>(left).bind(DeviceRefresh::KIND).fetch_all(sql).await;
    let left = left.expect("the database answers").into_iter();
    left.map(|(kind, count)| format!("the outbox holds {count} of {kind}")).collect()
}

/// Parked messages with their bodies as text.
async fn parked_texts(sql: &PgPool) -> Vec<(String, String)> {
    let rows = "select parked::text || ' ' || encode(body, 'escape') from muster.parked";
    let rows: Vec<String> = sqlx::query_scalar(rows).fetch_all(sql).await.expect("the database answers");
    rows.into_iter().map(|row| ("a parked message".to_owned(), row)).collect()
}

/// I7 of the programs' logs, line by line: they are long. A log without a line was not read.
fn told_in_logs(secrets: &[(&str, String)], logs: &[PathBuf]) -> Vec<String> {
    let mut told = Vec::new();
    for path in logs {
        let name = format!("the log {}", path.display());
        let file = File::open(path).unwrap_or_else(|error| panic!("open {name}: {error}"));
        let mut lines = 0;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.unwrap_or_else(|error| panic!("read {name}: {error}"));
            let line = String::from_utf8_lossy(&line);
            told.extend(checks::told_secrets(secrets, [(name.as_str(), line.as_ref())].into_iter()));
            lines += 1;
        }
        if lines == 0 {
            told.push(format!("{name} is empty"));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use store::testing::TestDatabase;

    use super::*;

    #[test]
    fn a_secret_in_any_log_is_found_and_an_empty_log_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let logs = ["sound", "telling", "empty"].map(|name| folder.path().join(name));
        std::fs::write(&logs[0], "all is well\n").unwrap();
        std::fs::write(&logs[1], b"all is well\nits key is \xffCANARY\n").unwrap();
        std::fs::write(&logs[2], "").unwrap();
        let told = told_in_logs(&[("the key", "CANARY".to_owned())], &logs);
        assert!(told.len() == 2 && told[0].contains("telling") && told[1].ends_with("empty is empty"), "{told:?}");
    }

    #[tokio::test]
    async fn what_the_outbox_holds_is_found_but_for_a_refresh_that_is_due_later() {
        let database = TestDatabase::create().await;
        let sql = PgPool::connect(database.url()).await.unwrap();
        let hold = async |kind: &str, dedup: &str, due: &str| {
            let rows = format!(
                "insert into muster.outbox (tenant, exchange, routing_key, kind, message_id, dedup, body, available_at)
                 values (gen_random_uuid(), 'work', 'key', '{kind}', '{dedup}', '{dedup}', '', now() + '{due}')"
            );
            sqlx::query(sqlx::AssertSqlSafe(rows)).execute(&sql).await.unwrap();
        };
        hold(DeviceRefresh::KIND, "a", "1 hour").await;
        assert_eq!(outbox(&sql).await, Vec::<String>::new());
        hold(DeviceRefresh::KIND, "b", "-1 second").await;
        assert_eq!(outbox(&sql).await, [format!("the outbox holds 1 of {}", DeviceRefresh::KIND)]);
        hold("another", "c", "1 hour").await;
        assert_eq!(outbox(&sql).await.len(), 2);
    }

    #[test]
    #[should_panic(expected = "open the log")]
    fn a_log_that_is_gone_is_no_log_without_secrets() {
        told_in_logs(&[], &[PathBuf::from("/nowhere/at/all")]);
    }
}

//! One login at a time, and not more of them than the server allows: a lease in the connection's row, never a transaction
//! that is open while Tactical thinks.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::lock;
use crate::error::Attempt;
use crate::secret::{self, Sealed};
use crate::{Error, Store};

/// The longest wait that a server's throttle may ask for; its longest window is a day.
const NOT_BEFORE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How many logins a program may make by itself.
#[derive(Debug, Clone, Copy)]
pub struct LoginRules {
    /// How long a login may take before another one may try.
    pub lease: Duration,
    /// One login in so much time, in the long run.
    pub every: Duration,
    /// So many at once after a long rest.
    pub burst: u32,
}

/// On whose wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginBy {
    /// A program's own: within the budget, and never while a person is needed.
    Program,
    /// A person's, who waits for the answer: only the server's throttle holds it back.
    Person,
}

/// The answer to who wants to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Log in, then [`finish_login`].
    Granted(LoginClaim),
    /// No need: another program has logged in since, and this is its token.
    Done(Sealed),
    /// Another one is at it: look for its token until then.
    Busy {
        /// When its lease ends at the latest.
        until: DateTime<Utc>,
    },
    /// Not before then: the server throttles, or the budget is spent.
    NotBefore {
        /// On the database's clock.
        at: DateTime<Utc>,
        /// From now.
        after: Duration,
    },
    /// A person must give a code.
    CodeWanted,
    /// A person must change user or password.
    Refused,
}

/// The right to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginClaim {
    tenant: Uuid,
    integration_id: Uuid,
    claimed_until: DateTime<Utc>,
}

/// How a login ended.
#[derive(Debug, Clone)]
pub enum LoginEnd {
    /// With a token.
    Token(Sealed),
    /// The account has a second factor, and nobody gave its code.
    CodeWanted,
    /// The server refused user and password.
    Refused,
    /// The server throttles for so long.
    Throttled(Duration),
    /// Something else; it may be tried again.
    Other,
}

/// What a claim is decided by.
#[derive(Debug, Clone, Default)]
struct State {
    claimed_until: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    paid_until: Option<DateTime<Utc>>,
    code_wanted_at: Option<DateTime<Utc>>,
    refused_at: Option<DateTime<Utc>>,
}

/// Asks for the right to log in, because the token `dead` is good no more (`None`: because there is none). Whether a program
/// needs one at all is looked at under the lock under which the last login ended: it pays for those that it makes only.
///
/// # Errors
/// [`Error::Refused`] where there is no such connection, or a program asks for one that is not active; otherwise what the
/// database said.
pub async fn claim_login(
    store: &Store,
    tenant: Uuid,
    integration_id: Uuid,
    by: LoginBy,
    dead: Option<&Sealed>,
    rules: &LoginRules,
) -> Result<Login, Error> {
    let what = format!("claim the login of connection {integration_id}");
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            let is_active = lock(&mut transaction, tenant, integration_id).await?;
            if by == LoginBy::Program {
                // it was switched off since it was opened, and may have been removed: nobody wants a session any more
                if !is_active {
                    let reason = "the connection is no longer active".to_owned();
                    return Err(Error::Refused { what: what.clone().into(), reason });
                }
                let stored = secret::get_in(&mut transaction, tenant, secret::KNOX_TOKEN).await?;
                if let Some(token) = stored.filter(|stored| Some(stored) != dead) {
                    return Ok(Login::Done(token));
                }
            }
            let (state, now) = read(&mut transaction, tenant, integration_id).await.attempt(what.clone())?;
            if let Some(no) = refusal(&state, by, rules, now) {
                return Ok(no);
            }
            let claimed_until = now + delta(rules.lease);
            let paid_until = match by {
                LoginBy::Program => Some(state.paid_until.unwrap_or(now).max(now) + delta(rules.every)),
                LoginBy::Person => state.paid_until,
            };
            sqlx::query!(
                "update muster.connection set login_claimed_until = $3, login_paid_until = $4
                 where tenant = $1 and integration_id = $2",
                tenant,
                integration_id,
                claimed_until,
                paid_until
            )
            .execute(&mut *transaction)
            .await
            .attempt(what.clone())?;
            transaction.commit().await.attempt(what.clone())?;
            Ok(Login::Granted(LoginClaim { tenant, integration_id, claimed_until }))
        })
        .await
}

async fn read(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
) -> Result<(State, DateTime<Utc>), sqlx::Error> {
    let row = sqlx::query!(
        r#"select login_claimed_until, login_not_before, login_paid_until, code_wanted_at, login_refused_at,
                  date_trunc('milliseconds', clock_timestamp()) as "now!"
           from muster.connection where tenant = $1 and integration_id = $2"#,
        tenant,
        integration_id
    );
    let row = row.fetch_one(connection).await?;
    let state = State {
        claimed_until: row.login_claimed_until,
        not_before: row.login_not_before,
        paid_until: row.login_paid_until,
        code_wanted_at: row.code_wanted_at,
        refused_at: row.login_refused_at,
    };
    Ok((state, row.now))
}

/// Why not, if not. What a person must do comes first: it does not pass by waiting.
fn refusal(state: &State, by: LoginBy, rules: &LoginRules, now: DateTime<Utc>) -> Option<Login> {
    if by == LoginBy::Program && state.code_wanted_at.is_some() {
        return Some(Login::CodeWanted);
    }
    if by == LoginBy::Program && state.refused_at.is_some() {
        return Some(Login::Refused);
    }
    if let Some(until) = state.claimed_until.filter(|until| *until > now) {
        return Some(Login::Busy { until });
    }
    // the budget: each login is paid with `every`, and only `burst` of them may be owed at a time
    let owed = delta(rules.every) * i32::try_from(rules.burst.saturating_sub(1)).unwrap_or(i32::MAX);
    let budget = state.paid_until.filter(|_| by == LoginBy::Program).map(|until| until - owed);
    let at = [state.not_before, budget].into_iter().flatten().max().filter(|at| *at > now)?;
    Some(Login::NotBefore { at, after: (at - now).to_std().unwrap_or_default() })
}

/// Ends a login. `false`: the claim is no longer ours (it took too long, or the connection was changed or ended meanwhile);
/// then nothing was written.
///
/// # Errors
/// What the database said.
pub async fn finish_login(store: &Store, claim: &LoginClaim, end: &LoginEnd) -> Result<bool, Error> {
    let what = format!("finish the login of connection {}", claim.integration_id);
    store
        .within(what.clone(), store.work_ends(), async {
            let mut transaction = store.pool().begin().await.attempt(what.clone())?;
            lock(&mut transaction, claim.tenant, claim.integration_id).await?;
            if !write(&mut transaction, claim, end).await.attempt(what.clone())? {
                return Ok(false);
            }
            match end {
                LoginEnd::Token(sealed) => {
                    secret::put(&mut transaction, claim.tenant, secret::KNOX_TOKEN, sealed).await?;
                }
                // the token that led here is dead, and nobody is to try it again
                LoginEnd::CodeWanted | LoginEnd::Refused => {
                    secret::delete(&mut transaction, claim.tenant, secret::KNOX_TOKEN).await?;
                }
                LoginEnd::Throttled(_) | LoginEnd::Other => {}
            }
            transaction.commit().await.attempt(what.clone())?;
            Ok(true)
        })
        .await
}

async fn write(connection: &mut PgConnection, claim: &LoginClaim, end: &LoginEnd) -> Result<bool, sqlx::Error> {
    let not_before = match end {
        LoginEnd::Throttled(after) => Some((*after).min(NOT_BEFORE_MAX).as_secs_f64()),
        _ => None,
    };
    let done = sqlx::query_file!(
        "sql/connection/finish_login.sql",
        claim.tenant,
        claim.integration_id,
        claim.claimed_until,
        matches!(end, LoginEnd::Token(_)),
        matches!(end, LoginEnd::CodeWanted),
        matches!(end, LoginEnd::Refused),
        not_before
    );
    Ok(done.execute(connection).await?.rows_affected() == 1)
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LoginRules = LoginRules { lease: Duration::from_secs(60), every: Duration::from_secs(600), burst: 3 };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn program(state: &State) -> Option<Login> {
        refusal(state, LoginBy::Program, &RULES, at(1_000))
    }

    fn person(state: &State) -> Option<Login> {
        refusal(state, LoginBy::Person, &RULES, at(1_000))
    }

    #[test]
    fn nothing_known_is_no_reason() {
        assert_eq!(program(&State::default()), None);
    }

    #[test]
    fn a_person_goes_past_what_waits_for_a_person_and_past_the_budget() {
        let wanted = State { code_wanted_at: Some(at(1)), ..State::default() };
        let refused = State { refused_at: Some(at(1)), ..State::default() };
        let spent = State { paid_until: Some(at(1_000 + 1_201)), ..State::default() };
        assert_eq!((program(&wanted), person(&wanted)), (Some(Login::CodeWanted), None));
        assert_eq!((program(&refused), person(&refused)), (Some(Login::Refused), None));
        let not_before = Login::NotBefore { at: at(1_001), after: Duration::from_secs(1) };
        assert_eq!((program(&spent), person(&spent)), (Some(not_before), None));
    }

    #[test]
    fn the_servers_throttle_and_another_login_hold_back_everybody() {
        let throttled = State { not_before: Some(at(1_059)), ..State::default() };
        let not_before = Some(Login::NotBefore { at: at(1_059), after: Duration::from_secs(59) });
        assert_eq!((program(&throttled), person(&throttled)), (not_before.clone(), not_before));
        let busy = State { claimed_until: Some(at(1_001)), ..State::default() };
        let until = Some(Login::Busy { until: at(1_001) });
        assert_eq!((program(&busy), person(&busy)), (until.clone(), until));
        let over = State { claimed_until: Some(at(1_000)), not_before: Some(at(1_000)), ..State::default() };
        assert_eq!((program(&over), person(&over)), (None, None));
    }

    #[test]
    fn the_budget_is_a_burst_and_then_one_in_its_time() {
        let mut state = State::default();
        let mut granted = Vec::new();
        for second in 0..7_200 {
            if refusal(&state, LoginBy::Program, &RULES, at(second)).is_none() {
                granted.push(second);
                state.paid_until = Some(state.paid_until.unwrap_or(at(second)).max(at(second)) + delta(RULES.every));
            }
        }
        assert_eq!(granted[..5], [0, 1, 2, 600, 1_200]);
        assert_eq!(granted.len(), 2 + 7_200 / 600);
    }
}

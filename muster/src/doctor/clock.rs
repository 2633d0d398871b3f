//! This machine's clock against the database's, by which everything that is compared is stamped.

use super::Patient;
use super::finding::Finding;

/// Beyond this, in seconds, ages and stamps in logs are misleading.
const WARNING_S: f64 = 2.0;
/// Beyond this, in seconds, tokens, certificates and TOTP codes fail, and attempts end by a wrong age.
const WRONG_S: f64 = 30.0;
const MEND: &str =
    "set both clocks by NTP (chrony, systemd-timesyncd); see `timedatectl` here and on the database's machine";

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let server = store::doctor::server(patient.store).await?;
    Ok(vec![judge(server.ahead_s, server.took.as_secs_f64() / 2.0)])
}

/// `ahead_s`: what the database is ahead; right to `unsure_s` in both directions.
fn judge(ahead_s: f64, unsure_s: f64) -> Finding {
    let surely_s = (ahead_s.abs() - unsure_s).max(0.0);
    let side = if ahead_s > 0.0 { "behind" } else { "ahead of" };
    let line = format!("this machine's clock is {:.1} s {side} the database's", ahead_s.abs());
    match surely_s {
        off if off > WRONG_S => Finding::wrong(line, MEND),
        off if off > WARNING_S => Finding::warning(line, MEND),
        _ => Finding::ok(format!("within {WARNING_S} s of the database's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn an_offset_is_judged_beyond_what_the_round_trip_may_hide() {
        for (ahead_s, unsure_s, state) in [
            (0.0, 0.0, State::Ok),
            (2.0, 0.0, State::Ok),
            (-2.1, 0.0, State::Warning),
            (2.5, 0.6, State::Ok),
            (30.0, 0.0, State::Warning),
            (30.1, 0.0, State::Wrong),
            (-3_600.0, 0.1, State::Wrong),
        ] {
            assert_eq!(judge(ahead_s, unsure_s).state, state, "{ahead_s} s, unsure by {unsure_s} s");
        }
        assert!(judge(-40.0, 0.0).line.contains("40.0 s ahead of the database's"));
        assert!(judge(40.0, 0.0).line.contains("40.0 s behind the database's"));
    }
}

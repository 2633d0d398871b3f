//! Each connection to Tactical: when it was last read, and what needs a person.

use chrono::{DateTime, Utc};
use store::doctor::Ailing;

use super::Patient;
use super::finding::{Finding, and_more, or_ok, span};

pub(super) async fn look(patient: &Patient<'_>) -> anyhow::Result<Vec<Finding>> {
    let now = patient.store.database_now().await?;
    let (counts, ailing) = store::doctor::integrations(patient.store).await?;
    let mut findings: Vec<Finding> = ailing.iter().flat_map(|it| told(it, now)).collect();
    if let Some(more) = and_more(ailing.first().map_or(0, |it| it.total), ailing.len()) {
        findings.push(Finding::warning(format!("{more} connections need a person"), "mend these, then look again"));
    }
    Ok(or_ok(findings, || format!("{} of {} connections are active, all are in order", counts.active, counts.all)))
}

fn told(it: &Ailing, now: DateTime<Utc>) -> Vec<Finding> {
    let tenant = it.tenant;
    let ago = |at: DateTime<Utc>| span((now - at).to_std().unwrap_or_default());
    let read = it.last_sync_at.map_or_else(|| "never read".to_owned(), |at| format!("last read {} ago", ago(at)));
    let line = |text: String| format!("tenant {tenant}, {read}: {text}");
    if it.is_disconnected {
        let remedy = format!("`muster connect --tenant {tenant}`, or `muster tenant remove` where the tenant has left");
        return vec![Finding::warning(line("it is disconnected, and nothing is read or recorded".to_owned()), remedy)];
    }
    let mut findings = Vec::new();
    if let Some(at) = it.held_at {
        let text = format!("another server seems to stand behind it since {}: nothing is imported", ago(at));
        let remedy =
            format!("`muster status --tenant {tenant}` shows both sides, `muster mappings confirm` takes the decision");
        findings.push(Finding::wrong(line(text), remedy));
    }
    if let Some(at) = it.code_wanted_at {
        let remedy = format!("give a TOTP code: `muster test --tenant {tenant}` asks for it");
        findings.push(Finding::wrong(line(format!("it waits for a person's code for {}", ago(at))), remedy));
    }
    if let Some(at) = it.login_refused_at {
        let text = format!("Tactical refused user name and password {} ago", ago(at));
        findings.push(Finding::wrong(line(text), format!("give the right ones: `muster connect --tenant {tenant}`")));
    }
    if let Some(error) = &it.sync_error {
        let text = format!("its last sync failed: {error}");
        let remedy = format!("`muster test --tenant {tenant}` says what is wrong and what to do");
        findings.push(Finding::wrong(line(text), remedy));
    }
    if it.is_without_hook {
        let remedy = format!("`muster webhook rotate --tenant {tenant}` makes one; paste it into Tactical");
        findings.push(Finding::warning(
            line("it has no webhook secret, so alerts come by polling only".to_owned()),
            remedy,
        ));
    }
    if it.undelivered > 0 {
        let text = format!("Tactical could not deliver the webhooks of {} open alerts", it.undelivered);
        let remedy = "see that Tactical reaches the gateway's URL and sends the right secret (`muster webhook rotate` \
                      makes a new one)";
        findings.push(Finding::warning(line(text), remedy));
    }
    if !it.template_mistakes.is_empty() {
        let text = format!("its alert template has mistakes: {}", it.template_mistakes.join(", "));
        let remedy = "enter the two bodies that `muster tenant connect` prints in Tactical's URL actions again";
        findings.push(Finding::warning(line(text), remedy));
    }
    findings
}

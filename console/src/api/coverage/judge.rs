//! Whether a template's two actions call us, and what is wrong where they do not. Pure; never shows what an action sends.

use std::collections::BTreeMap;

use contract::webhook::HEADER;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use store::hook::{self, Digest};
use tactical::{AlertTemplate, UrlAction};
use url::Url;
use uuid::Uuid;

/// What an action must send, and where to.
pub(super) struct Ours {
    pub(super) url: String,
    pub(super) tenant: Uuid,
    /// Of the secrets that are good.
    pub(super) digests: Vec<Digest>,
    pub(super) pepper: Vec<u8>,
}

/// Templates and actions by name, with what is wrong.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) templates: BTreeMap<String, Template>,
    /// Actions that are meant for us and not right.
    pub(super) actions: BTreeMap<String, Vec<String>>,
}

/// A template. Where several have one name, all of them must be right: an agent's row names it by name only.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) problems: Vec<String>,
    /// It leaves out some alerts, which is its owner's decision.
    calls: bool,
}

impl Template {
    /// Whether it calls us for failures and for what is resolved.
    pub(super) fn is_ours(&self) -> bool {
        self.calls
    }
}

/// Judges them all.
pub(super) fn judge(templates: &[AlertTemplate], actions: &[UrlAction], ours: &Ours) -> Judged {
    let mut judged = Judged::default();
    let by_id: BTreeMap<i64, &UrlAction> = actions.iter().map(|action| (action.id, action)).collect();
    for action in actions {
        let problems = problems_of(action, ours);
        if is_meant(action, ours) && !problems.is_empty() {
            judged.actions.entry(name_of(action)).or_default().extend(problems);
        }
    }
    for template in templates {
        let name = template.name.clone().unwrap_or_else(|| format!("template {}", template.id));
        let (calls, problems) = judge_template(template, &by_id, ours);
        let known = judged.templates.entry(name).or_insert(Template { problems: Vec::new(), calls: true });
        known.calls &= calls;
        known.problems.extend(problems);
    }
    judged
}

fn judge_template(template: &AlertTemplate, actions: &BTreeMap<i64, &UrlAction>, ours: &Ours) -> (bool, Vec<String>) {
    let halves = [
        ("failure", template.action_type.as_deref(), template.action_rest),
        ("resolved", template.resolved_action_type.as_deref(), template.resolved_action_rest),
    ];
    let mut problems = Vec::new();
    let mut calls = true;
    for (half, kind, action) in halves {
        let action = action.filter(|_| kind == Some("rest")).and_then(|id| actions.get(&id));
        let found = match action {
            None => vec![format!("It has no {half} action that calls a URL.")],
            Some(action) => {
                let wrong = problems_of(action, ours);
                wrong.iter().map(|wrong| format!("Its {half} action “{}”: {wrong}", name_of(action))).collect()
            }
        };
        calls &= found.is_empty();
        problems.extend(found);
    }
    if template.is_active == Some(false) {
        calls = false;
        problems.push("It is switched off.".to_owned());
    }
    for (alerts, runs) in [
        ("availability alerts", template.agent_script_actions),
        ("checks", template.check_script_actions),
        ("tasks", template.task_script_actions),
    ] {
        if runs == Some(false) {
            problems.push(format!("It does not run its actions for {alerts}."));
        }
    }
    (calls, problems)
}

/// Somebody wanted it to call us: the path or the header is ours.
fn is_meant(action: &UrlAction, ours: &Ours) -> bool {
    let pattern = action.pattern.as_deref().unwrap_or_default();
    pattern.contains(contract::webhook::PATH) || is_our_url(pattern, ours) || secret_of(action).is_some()
}

fn problems_of(action: &UrlAction, ours: &Ours) -> Vec<String> {
    let mut problems = Vec::new();
    if action.action_type.as_deref().is_some_and(|kind| kind != "rest") {
        problems.push("It opens a web page instead of calling a URL (type REST).".to_owned());
    }
    if !is_our_url(action.pattern.as_deref().unwrap_or_default(), ours) {
        problems.push("Its URL is not the webhook's.".to_owned());
    }
    let method = action.rest_method.as_deref().unwrap_or_default().to_ascii_lowercase();
    if !["post", "put", "patch"].contains(&method.as_str()) {
        problems.push("Its method is not POST.".to_owned());
    }
    match secret_of(action) {
        None => problems.push(format!("Its headers lack {HEADER}, or are no JSON object of texts.")),
        // a variable: only Tactical knows what will stand there
        Some(secret) if secret.contains("{{") || ours.digests.is_empty() => {}
        Some(secret) if ours.digests.contains(&hook::digest(&ours.pepper, &secret)) => {}
        Some(_) => problems.push(format!("Its header {HEADER} holds another secret than the webhook's.")),
    }
    problems
}

/// Same server, path and tenant; other parameters do not matter.
fn is_our_url(pattern: &str, ours: &Ours) -> bool {
    let (Ok(theirs), Ok(wanted)) = (Url::parse(pattern.trim()), Url::parse(&ours.url)) else { return false };
    let tenant = ours.tenant.to_string();
    theirs.origin() == wanted.origin()
        && theirs.path() == wanted.path()
        && theirs.query_pairs().any(|(name, value)| name == "tenant" && value.eq_ignore_ascii_case(&tenant))
}

/// The value of our header, where the headers are what Tactical sends: an object of texts.
fn secret_of(action: &UrlAction) -> Option<String> {
    let headers: Map<String, Value> = serde_json::from_str(action.rest_headers.as_ref()?.expose_secret()).ok()?;
    if !headers.values().all(Value::is_string) {
        return None;
    }
    let found = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(HEADER))?;
    found.1.as_str().map(str::to_owned)
}

fn name_of(action: &UrlAction) -> String {
    action.name.clone().unwrap_or_else(|| format!("URL action {}", action.id))
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

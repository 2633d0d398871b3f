//! Whether the event's word says open or resolve; `resolve` decides as a *word*.

use contract::alert_observed::{Said, TemplateMistake};

/// What the event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) said: Said,
    pub(super) mistake: Option<TemplateMistake>,
}

/// Forms of `resolve` that say that the alert is over.
const RESOLVES: [&str; 5] = ["resolve", "resolved", "resolves", "resolving", "resolution"];
/// The same with their negation in one word.
const UNRESOLVES: [&str; 4] = ["unresolve", "unresolved", "unresolves", "nonresolved"];
/// Words that turn a resolve into its opposite. `isn` and `don` are what is left of `isn't` and `don't`.
const NEGATIONS: [&str; 10] = ["not", "un", "non", "no", "never", "cannot", "isn", "don", "wasn", "without"];
/// Words that beside a resolve say that the template's choice was pasted instead of made.
const TRIGGERS: [&str; 4] = ["trigger", "triggered", "triggers", "triggering"];

/// Reads the event's text; none at all is an open, as in AlgaPSA.
pub(super) fn read(text: Option<&str>) -> Event {
    let text = text.unwrap_or_default();
    let words = words(text);
    let any = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let (said, mistake) = if any(&UNRESOLVES) {
        (Said::Open, Some(TemplateMistake::NegatedResolve))
    } else if !any(&RESOLVES) {
        (Said::Open, None)
    } else if any(&NEGATIONS) {
        (Said::Open, Some(TemplateMistake::NegatedResolve))
    } else if any(&TRIGGERS) || text.contains('|') {
        (Said::Open, Some(TemplateMistake::VerbatimEvent))
    } else {
        (Said::Resolve, None)
    };
    Event { said, mistake }
}

/// The words in lower case, split at whatever is no letter or digit and where `alertResolved` changes its case.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for char in text.chars() {
        let splits = !char.is_alphanumeric() || (after_lower && char.is_uppercase());
        after_lower = char.is_lowercase();
        if splits && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if char.is_alphanumeric() {
            let last = words.len() - 1;
            words[last].extend(char.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_are(event: Event, texts: &[&str]) {
        for text in texts {
            assert_eq!(read(Some(text)), event, "{text:?}");
        }
    }

    #[test]
    fn what_does_not_say_resolve_opens() {
        let open = Event { said: Said::Open, mistake: None };
        all_are(
            open,
            &["trigger", "failure", "Triggered", "new", "", "resolver", "resolvable", "presolved", "1", "💥"],
        );
        assert_eq!(read(None), open);
    }

    #[test]
    fn resolve_decides_as_a_word() {
        let event = Event { said: Said::Resolve, mistake: None };
        all_are(
            event,
            &[
                "resolve",
                "resolved",
                "RESOLVED",
                "Resolve",
                " resolve ",
                "alert resolved",
                "alert_resolved",
                "alert.resolve",
                "alert-resolved",
                "alertResolved",
                "check resolved!",
                "resolving",
                "resolution",
                "failure resolved",
            ],
        );
    }

    #[test]
    fn a_negated_resolve_opens_and_is_a_mistake() {
        let event = Event { said: Said::Open, mistake: Some(TemplateMistake::NegatedResolve) };
        all_are(
            event,
            &[
                "unresolved",
                "UNRESOLVED",
                "Unresolved",
                "not resolved",
                "not_resolved",
                "notResolved",
                "un-resolved",
                "isn't resolved",
                "never resolved",
                "not yet resolved",
                "unresolve",
                "nonresolved",
                "non-resolved",
                "resolved: no",
                "NOT RESOLVED",
            ],
        );
    }

    #[test]
    fn both_words_at_once_open_and_are_a_mistake() {
        let event = Event { said: Said::Open, mistake: Some(TemplateMistake::VerbatimEvent) };
        all_are(
            event,
            &[
                "trigger|resolve",
                "trigger | resolve",
                "TRIGGER|RESOLVE",
                "resolve|trigger",
                "trigger/resolve",
                "trigger or resolve",
                "failure|resolved",
                "triggered, resolved",
            ],
        );
    }
}

//! The fields of an event's data, declared once: as a struct, and as what the documentation says of it.

/// A field as the documentation shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its type in Rust.
    pub rust: &'static str,
    /// What it says.
    pub says: &'static str,
}

impl Field {
    /// Its type in JSON, in words.
    #[must_use]
    pub fn json(&self) -> String {
        let rust: String = self.rust.split_whitespace().collect();
        match rust.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
            Some(inner) => format!("{} or null", json(inner)),
            None => json(&rust).to_owned(),
        }
    }
}

fn json(rust: &str) -> &str {
    match rust {
        "Uuid" => "uuid",
        "String" => "text",
        "i32" | "i64" => "number",
        "bool" => "true or false",
        "DateTime<Utc>" => "time",
        "Vec<String>" => "list of texts",
        "RunCounts" => "object of numbers",
        // each of them is written as one of its words
        "Transition" | "AssetChange" | "SoftwareChange" => "word",
        other => panic!("say in field.rs what {other} is in JSON"),
    }
}

/// Declares a struct whose fields have one line of documentation each, and `FIELDS` that tells them.
macro_rules! data {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( #[doc = $says:literal] pub $field:ident: $type:ty, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $( #[doc = $says] pub $field: $type, )+
        }

        impl $name {
            /// The fields as the documentation shows them.
            pub(super) const DESCRIBED: &'static [super::Field] = &[
                $( super::Field { name: stringify!($field), rust: stringify!($type), says: $says } ),+
            ];
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_in_json_s_words() {
        let told = |rust| Field { name: "x", rust, says: "" }.json();
        assert_eq!(told("Option<DateTime<Utc>>"), "time or null");
        assert_eq!(told("Option < Uuid >"), "uuid or null");
        assert_eq!((told("i64"), told("Transition")), ("number".to_owned(), "word".to_owned()));
    }
}

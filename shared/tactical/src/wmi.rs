//! What is worth digging out of an agent's WMI data, whose shape differs by platform and agent version.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Words of manufacturers who wrote no number.
const NO_SERIAL: [&str; 8] = [
    "to be filled by o.e.m.",
    "default string",
    "system serial number",
    "not specified",
    "none",
    "n/a",
    "0",
    "unknown",
];

/// Windows: `bios[[{SerialNumber}]]`; Linux and macOS: `serialnumber`.
pub(crate) fn serial_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let wmi = Value::deserialize(deserializer)?;
    let found = wmi.get("serialnumber").or_else(|| wmi.get("bios")?.get(0)?.get(0)?.get("SerialNumber"));
    let serial = found.and_then(Value::as_str).map(str::trim).filter(|serial| !serial.is_empty());
    Ok(serial.filter(|serial| !NO_SERIAL.contains(&serial.to_ascii_lowercase().as_str())).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_serial_number_is_found_where_its_platform_has_it() {
        let table = [
            (json!({"bios": [[{"SerialNumber": " ABC123 "}]]}), Some("ABC123")),
            (json!({"serialnumber": "C02XYZ123"}), Some("C02XYZ123")),
            (json!({"bios": [[{"SerialNumber": "To be filled by O.E.M."}]]}), None),
            (json!({"bios": []}), None),
            (json!({"bios": [[{"SerialNumber": 7}]]}), None),
            (json!(null), None),
            (json!([1]), None),
            (json!("error"), None),
        ];
        for (wmi, serial) in table {
            assert_eq!(serial_number(&wmi).expect("no shape is an error").as_deref(), serial, "{wmi}");
        }
    }
}

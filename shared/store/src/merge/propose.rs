//! Finds agents that may be reinstalled ones.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::Error;
use crate::error::Attempt;

/// What vendors leave in the firmware instead of a serial number, in lower case.
const SENTINELS: &[&str] = &[
    "default string",
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "to be filled by oem",
    "system serial number",
    "chassis serial number",
    "base board serial number",
    "serial number",
    "none",
    "null",
    "n/a",
    "na",
    "not specified",
    "not available",
    "not applicable",
    "unknown",
    "invalid",
    "oem",
    "o.e.m.",
    "empty",
    "no asset tag",
    "123456789",
    "1234567890",
    "0123456789",
    "12345678",
    "1234567",
    "123456",
];

/// Whether a serial number tells one machine from another.
pub(crate) fn is_telling(serial: &str) -> bool {
    let serial = serial.trim().to_lowercase();
    let mut signs = serial.chars().filter(|sign| sign.is_alphanumeric());
    let Some(first) = signs.next() else { return false };
    // one sign again and again, however it is grouped: 0000-0000, xxxx
    signs.any(|sign| sign != first) && !SENTINELS.contains(&&*serial)
}

/// Proposes the merges of new agents with missing ones of the same client and serial number: of one of Tactical's clients, or
/// of all. A pair is proposed once.
pub(crate) async fn propose(
    connection: &mut PgConnection,
    tenant: Uuid,
    integration_id: Uuid,
    external_client_id: Option<&str>,
) -> Result<(), Error> {
    let found = sqlx::query_file!("sql/merge/find.sql", tenant, integration_id, external_client_id);
    let mut found = found.fetch_all(&mut *connection).await.attempt("look for reinstalled agents")?;
    found.retain(|pair| is_telling(&pair.serial_number));
    if found.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = found.iter().map(|_| Uuid::now_v7()).collect();
    let agents: Vec<&str> = found.iter().map(|pair| pair.agent_id.as_str()).collect();
    let old: Vec<&str> = found.iter().map(|pair| pair.old_agent_id.as_str()).collect();
    let serials: Vec<&str> = found.iter().map(|pair| pair.serial_number.as_str()).collect();
    sqlx::query!(
        "insert into muster.merge_proposal (tenant, proposal_id, integration_id, agent_id, old_agent_id, serial_number)
         select $1, n.id, $2, n.agent, n.old, n.serial
         from unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) n (id, agent, old, serial)
         on conflict (tenant, integration_id, agent_id, old_agent_id) do nothing",
        tenant,
        integration_id,
        &ids,
        &agents as _,
        &old as _,
        &serials as _
    )
    .execute(connection)
    .await
    .attempt(format!("propose {} merges", found.len()))
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vendors_leave_in_the_firmware_tells_nothing() {
        for serial in [
            "",
            " ",
            "0",
            "00000000",
            "0000-0000",
            "xxxxxx",
            "None",
            "Default string",
            "To be filled by O.E.M.",
            " System Serial Number ",
            "Not Specified",
            "-",
            "...",
        ] {
            assert!(!is_telling(serial), "{serial}");
        }
        for serial in ["ABCD123456", "VMware-56 4d 7a", "5CG1234", "10"] {
            assert!(is_telling(serial), "{serial}");
        }
    }
}

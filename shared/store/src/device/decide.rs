//! What a batch writes: a pure function of what was read and what stands there.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::current::{Current, Rows};
use super::digest::Digest;
use super::event::{Compared, Told};
use super::fields::{Extension, Face, Group, has};
use super::{Device, DeviceType, Source};

/// Last seen moved by less is no news: an online agent checks in more often than that.
const SEEN_AGAIN: TimeDelta = TimeDelta::seconds(60);

/// What all devices of a batch have in common.
pub(super) struct Context<'a> {
    pub(super) source: Source,
    pub(super) fetched_at: DateTime<Utc>,
    pub(super) external_client_id: &'a str,
    pub(super) client_id: Uuid,
    pub(super) synced_at: Option<DateTime<Utc>>,
}

/// What is to be done for one device.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing: it is as it was.
    Unchanged,
    /// Nothing: something newer stands there.
    Older,
    /// Its status and times alone.
    Seen(Uuid),
    /// Its rows are to be compared.
    Compare(Uuid),
    /// It has no asset.
    Create,
}

/// Decides from the agent's own row and the narrow part of its asset.
pub(super) fn decide(context: &Context<'_>, current: Option<&Current>, device: &Device, told: &Digest) -> Decision {
    let Some((current, asset_id)) = current.and_then(|current| Some((current, current.asset_id?))) else {
        return Decision::Create;
    };
    let is_here = current.external_client_id.as_deref() == Some(context.external_client_id);
    // a complete list that did not rewrite the device has seen it as it stands
    let listed_at = context.synced_at.filter(|_| is_here && !current.is_missing);
    if current.fetched_at.max(listed_at).is_some_and(|known_at| known_at > context.fetched_at) {
        return Decision::Older;
    }
    let is_same = current.digest.as_ref().is_some_and(|digest| digest.has(told));
    if !is_same || !is_here || current.is_missing || current.client_id != Some(context.client_id) {
        return Decision::Compare(asset_id);
    }
    let is_seen = context.source == Source::Detail
        || device.status.is_some_and(|status| current.status.as_deref() != Some(status.as_str()))
        || is_moved(current.last_seen_at, device.last_seen_at);
    if is_seen { Decision::Seen(asset_id) } else { Decision::Unchanged }
}

fn is_moved(old: Option<DateTime<Utc>>, new: Option<DateTime<Utc>>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => (new - old).abs() >= SEEN_AGAIN,
        (old, new) => old != new,
    }
}

/// The rows of one device as they are to be.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) asset_id: Uuid,
    pub(super) face: Face,
    pub(super) digest: Digest,
    /// The asset is to be made.
    pub(super) is_new: bool,
    /// A column of the asset that seldom changes is another one now.
    pub(super) has_new_face: bool,
    /// Its extension, where it is to be written.
    pub(super) extension: Option<Extension>,
    /// The table in which a row of it must not stand any more.
    pub(super) leaves: Option<DeviceType>,
    /// It was read under another client before.
    pub(super) is_moved: bool,
    /// What readers are told of it.
    pub(super) told: Option<Told>,
    /// What it is told of last with.
    pub(super) rev: i64,
}

impl Written {
    /// Anything that a reader sees but status and times.
    pub(super) fn is_news(&self) -> bool {
        self.has_new_face || self.extension.is_some() || self.leaves.is_some() || self.is_moved
    }
}

/// The rows of a device without an asset.
pub(super) fn create(context: &Context<'_>, device: &Device, told: Digest) -> Written {
    Written {
        asset_id: Uuid::now_v7(),
        face: Face {
            client_id: context.client_id,
            name: device.name.clone(),
            serial_number: device.serial_number.clone(),
            location: device.site.clone(),
            kind: device.kind,
        },
        digest: told,
        is_new: true,
        has_new_face: true,
        extension: Some(Extension::after(&Extension::default(), device, context.source, context.fetched_at)),
        leaves: None,
        is_moved: false,
        told: Some(Told::created()),
        rev: 0,
    }
}

/// The rows of a device that has an asset. Without a digest the asset is AlgaPSA's, just adopted: what stands in the fields
/// that people may overwrite is taken to be theirs.
pub(super) fn compare(
    context: &Context<'_>,
    current: Option<&Current>,
    asset_id: Uuid,
    rows: &Rows,
    device: &Device,
    mut told: Digest,
) -> Written {
    let known = current.and_then(|current| current.digest.as_ref());
    let has_serial = device.serial_number.is_some() || has(context.source, Group::ListOnly);
    if let (false, Some(known)) = (has_serial, known) {
        told.serial = known.serial;
    }
    let old = &rows.face;
    let is_blank = |text: &Option<String>| text.as_deref().is_none_or(|text| text.trim().is_empty());
    let is_renamed = known.map_or(old.name.trim().is_empty(), |known| known.name != told.name);
    let has_new_serial = has_serial && known.map_or(is_blank(&old.serial_number), |known| known.serial != told.serial);
    let has_new_site = known.map_or(is_blank(&old.location), |known| known.site != told.site);
    let face = Face {
        client_id: context.client_id,
        name: if is_renamed { device.name.clone() } else { old.name.clone() },
        serial_number: if has_new_serial { device.serial_number.clone() } else { old.serial_number.clone() },
        location: if has_new_site { device.site.clone() } else { old.location.clone() },
        kind: device.kind,
    };
    let has_new_face = face != *old
        || rows.has_other_type
        || rows.agent_id.as_deref() != Some(&*device.agent_id)
        || rows.organization.as_deref() != Some(context.external_client_id);
    let extensions: HashMap<DeviceType, &Extension> = rows.extensions.iter().map(|(kind, row)| (*kind, row)).collect();
    let here = extensions.get(&device.kind).copied();
    let elsewhere = rows.extensions.iter().find(|(kind, _)| *kind != device.kind);
    let before = here.or(elsewhere.map(|(_, row)| row)).cloned().unwrap_or_default();
    let after = Extension::after(&before, device, context.source, context.fetched_at);
    let extension = (!here.is_some_and(|here| after.is_same(here))).then_some(after);
    let is_moved = current
        .and_then(|current| current.external_client_id.as_deref())
        .or(rows.organization.as_deref())
        .is_some_and(|before| before != context.external_client_id);
    let mut written = Written {
        asset_id,
        face,
        digest: told,
        is_new: false,
        has_new_face,
        extension,
        leaves: elsewhere.map(|(kind, _)| *kind),
        is_moved,
        told: None,
        rev: 0,
    };
    written.told = match current {
        None => Some(Told::created()),
        Some(Current { is_missing: was_missing, .. }) => {
            let here = (&*device.agent_id, context.external_client_id);
            Compared { rows, before: &before, written: &written, here, was_missing: *was_missing }.told()
        }
    };
    // what another source told last stands only where this one changed nothing
    if let (false, Some(known)) = (written.is_news(), known) {
        written.digest = written.digest.beside(known);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Status;

    const CLIENT: Uuid = Uuid::from_u128(1);
    const ASSET: Uuid = Uuid::from_u128(2);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + second)
    }

    fn context(source: Source) -> Context<'static> {
        Context { source, fetched_at: at(1_000), external_client_id: "7", client_id: CLIENT, synced_at: None }
    }

    fn device() -> Device {
        Device {
            agent_id: "a".to_owned(),
            name: "PC".to_owned(),
            status: Some(Status::Online),
            last_seen_at: Some(at(900)),
            ..Device::default()
        }
    }

    fn current() -> Current {
        Current {
            asset_id: Some(ASSET),
            digest: Some(Digest::of(&device(), Source::List).beside(&Digest::of(&device(), Source::Detail))),
            external_client_id: Some("7".to_owned()),
            is_missing: false,
            fetched_at: Some(at(500)),
            client_id: Some(CLIENT),
            status: Some("online".to_owned()),
            last_seen_at: Some(at(900)),
            rev: 3,
        }
    }

    fn decided(context: &Context<'_>, current: &Current, device: &Device) -> Decision {
        decide(context, Some(current), device, &Digest::of(device, context.source))
    }

    #[test]
    fn every_reason_to_write_is_one_and_nothing_else_is() {
        let list = context(Source::List);
        assert_eq!(decided(&list, &current(), &device()), Decision::Unchanged);
        assert_eq!(decided(&context(Source::Detail), &current(), &device()), Decision::Seen(ASSET));
        assert_eq!(decided(&context(Source::Beta), &current(), &device()), Decision::Compare(ASSET));
        type Change = fn(&mut Current, &mut Device);
        let table: [(Change, Decision); 11] = [
            (|_, device| device.last_seen_at = Some(at(959)), Decision::Unchanged),
            (|_, device| device.last_seen_at = Some(at(960)), Decision::Seen(ASSET)),
            (|_, device| device.last_seen_at = None, Decision::Seen(ASSET)),
            (|_, device| device.status = Some(Status::Overdue), Decision::Seen(ASSET)),
            (|_, device| device.status = None, Decision::Unchanged),
            (|_, device| device.name = "PC2".to_owned(), Decision::Compare(ASSET)),
            (|current, _| current.is_missing = true, Decision::Compare(ASSET)),
            (|current, _| current.client_id = None, Decision::Compare(ASSET)),
            (|current, _| current.external_client_id = Some("8".to_owned()), Decision::Compare(ASSET)),
            (|current, _| current.asset_id = None, Decision::Create),
            (|current, _| current.fetched_at = Some(at(1_001)), Decision::Older),
        ];
        for (number, (change, expected)) in table.into_iter().enumerate() {
            let (mut current, mut device) = (current(), device());
            change(&mut current, &mut device);
            assert_eq!(decided(&list, &current, &device), expected, "{number}");
        }
        assert_eq!(decide(&list, None, &device(), &Digest::of(&device(), Source::List)), Decision::Create);
    }

    #[test]
    fn a_complete_list_that_found_nothing_new_is_newer_than_a_fetch_before_it() {
        let late = Context { synced_at: Some(at(1_001)), ..context(Source::Detail) };
        assert_eq!(decided(&late, &current(), &device()), Decision::Older);
        let missing = Current { is_missing: true, ..current() };
        assert_eq!(decided(&late, &missing, &device()), Decision::Compare(ASSET), "it was not in that list");
    }

    fn rows() -> Rows {
        let written = create(&context(Source::List), &device(), Digest::of(&device(), Source::List));
        Rows {
            face: written.face,
            agent_id: Some("a".to_owned()),
            organization: Some("7".to_owned()),
            has_other_type: false,
            extensions: vec![(DeviceType::Workstation, written.extension.unwrap_or_default())],
        }
    }

    fn compared(rows: &Rows, known: Option<&Current>, device: &Device, source: Source) -> Written {
        compare(&context(source), known, ASSET, rows, device, Digest::of(device, source))
    }

    #[test]
    fn what_people_wrote_stands_until_tacticals_own_value_changes() {
        let mut rows = rows();
        rows.face.name = "Reception".to_owned();
        rows.face.serial_number = Some("written by hand".to_owned());
        let mut told = device();
        told.agent_version = Some("2".to_owned());
        let written = compared(&rows, Some(&current()), &told, Source::List);
        assert_eq!(
            (&*written.face.name, written.has_new_face, written.extension.is_some()),
            ("Reception", false, true)
        );
        told.name = "PC2".to_owned();
        told.serial_number = Some("S1".to_owned());
        let written = compared(&rows, Some(&current()), &told, Source::List);
        assert_eq!((&*written.face.name, written.face.serial_number.as_deref()), ("PC2", Some("S1")));
        // a source without the serial number says nothing about it
        let mut known = current();
        known.digest = Some(Digest::of(&told, Source::List));
        told.serial_number = None;
        let written = compared(&rows, Some(&known), &told, Source::Detail);
        assert_eq!(written.face.serial_number.as_deref(), Some("written by hand"));
        assert_eq!(Some(written.digest.serial), known.digest.map(|digest| digest.serial));
    }

    #[test]
    fn an_adopted_asset_keeps_what_it_has_and_gets_what_it_lacks() {
        let mut rows = rows();
        rows.face.name = "From AlgaPSA".to_owned();
        rows.face.location = Some(" ".to_owned());
        let mut told = device();
        told.site = Some("HQ".to_owned());
        told.serial_number = Some("S1".to_owned());
        let written = compared(&rows, None, &told, Source::List);
        let face = &written.face;
        assert_eq!(
            (&*face.name, face.location.as_deref(), face.serial_number.as_deref()),
            ("From AlgaPSA", Some("HQ"), Some("S1"))
        );
    }

    #[test]
    fn a_change_of_type_moves_the_row_with_what_it_knows() {
        let mut rows = rows();
        rows.extensions[0].1.ram_gb = Some(16);
        let told = Device { kind: DeviceType::Server, ..device() };
        let written = compared(&rows, Some(&current()), &told, Source::List);
        assert_eq!(written.leaves, Some(DeviceType::Workstation));
        assert_eq!(written.extension.and_then(|row| row.ram_gb), Some(16));
    }

    #[test]
    fn another_sources_digest_stands_only_where_nothing_was_written() {
        let mut known = current();
        known.digest = Some(Digest::of(&device(), Source::List));
        let written = compared(&rows(), Some(&known), &device(), Source::Detail);
        assert!(!written.is_news() && written.digest.has(&Digest::of(&device(), Source::List)));
        let renamed = Device { name: "PC2".to_owned(), ..device() };
        let written = compared(&rows(), Some(&known), &renamed, Source::Detail);
        assert!(written.is_news() && !written.digest.has(&Digest::of(&device(), Source::List)));
    }
}

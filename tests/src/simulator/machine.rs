//! What a machine is: everything about an agent that follows from the seed and its number and never changes by itself.
//!
//! The first five agents always are what tests want to find: 1 an online Windows workstation in the first site, 2 an
//! overdue Linux server in the second, 3 a Windows machine that was never seen, 4 a Windows machine without a mesh
//! node, 5 an overdue Mac.

use serde_json::{Value, json};

use super::agent_id::agent_id;
use super::catalogue::{
    AGENT_VERSIONS, CHECKS, DESCRIPTIONS, GRAPHICS, LINUX, LINUX_HOSTS, MAC, MAC_HOSTS, MODELS, PROCESSORS, SERVICES,
    TIME_ZONES, USERS, WINDOWS, WINDOWS_HOSTS, WINDOWS_SERVER_HOSTS, WINDOWS_SERVERS,
};
use super::dice::Dice;

/// Seconds in a minute, an hour, a day.
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;

/// The platforms that Tactical has agents for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Windows,
    Linux,
    Mac,
}

impl Platform {
    /// Tactical's `plat`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Mac => "darwin",
        }
    }
}

/// Whether a machine is there when the simulation starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstSeen {
    /// Checks in all the time.
    Always,
    /// Was last seen this many seconds before the start.
    GoneForS(i64),
    /// Was installed but never checked in.
    Never,
}

/// The unchanging facts of one agent.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The agent's pk.
    pub(super) pk: i64,
    /// 40 letters.
    pub(super) agent_id: String,
    /// Throws for everything that is not worth a field.
    pub(super) dice: Dice,
    pub(super) platform: Platform,
    pub(super) server: bool,
    pub(super) first_seen: FirstSeen,
    pub(super) hostname: String,
    /// Where it stands as a number from 0; the world turns it into a site.
    pub(super) home: u64,
}

impl Machine {
    /// The agent `pk` on the hardware `hardware` (the same number unless it was reinstalled).
    pub(super) fn new(seed: u64, pk: i64, hardware: i64, online_percent: u8) -> Self {
        let dice = Dice::new(seed, hardware);
        let platform = platform_of(hardware, dice);
        let server =
            hardware != 1 && (hardware == 2 || dice.percent(2, if platform == Platform::Linux { 80 } else { 25 }));
        let stems: &[&str] = match (platform, server) {
            (Platform::Windows, false) => &WINDOWS_HOSTS,
            (Platform::Windows, true) => &WINDOWS_SERVER_HOSTS,
            (Platform::Linux, _) => &LINUX_HOSTS,
            (Platform::Mac, _) => &MAC_HOSTS,
        };
        Self {
            pk,
            agent_id: agent_id(seed, pk),
            dice,
            platform,
            server,
            first_seen: first_seen(hardware, pk == hardware, online_percent, dice),
            // host names are not unique in the field: every fiftieth machine is called like its neighbour
            hostname: format!(
                "{}{:04}",
                dice.pick(3, stems),
                if hardware % 50 == 49 { hardware - 1 } else { hardware }
            ),
            home: home(seed, hardware),
        }
    }

    /// True where nothing was ever reported.
    pub(super) fn never_seen(&self) -> bool {
        self.first_seen == FirstSeen::Never
    }

    fn place(&self) -> usize {
        self.platform as usize
    }

    pub(super) fn version(&self) -> &'static str {
        if self.never_seen() {
            return "0.1.0";
        }
        let old = self.dice.below(5, 20);
        AGENT_VERSIONS[match old {
            _ if self.pk <= 5 => 0,
            0..=13 => 0,
            14..=16 => 1,
            17..=18 => 2,
            _ => 3,
        }]
    }

    pub(super) fn operating_system(&self) -> Option<&'static str> {
        if self.never_seen() {
            return None;
        }
        Some(match (self.platform, self.server) {
            (Platform::Windows, false) => self.dice.pick(6, &WINDOWS),
            (Platform::Windows, true) => self.dice.pick(6, &WINDOWS_SERVERS),
            (Platform::Linux, _) => self.dice.pick(6, &LINUX).0,
            (Platform::Mac, _) => self.dice.pick(6, &MAC).0,
        })
    }

    pub(super) fn goarch(&self) -> Option<&'static str> {
        match self.platform {
            Platform::Windows => (!self.dice.percent(7, 3)).then_some("amd64"),
            Platform::Linux => Some(self.dice.pick(6, &LINUX).1),
            Platform::Mac => Some(self.dice.pick(6, &MAC).1),
        }
    }

    pub(super) fn serial(&self) -> String {
        // Linux agents report none; two in a hundred Windows machines carry the placeholder of their maker
        match self.platform {
            Platform::Windows | Platform::Mac if self.never_seen() => String::new(),
            Platform::Windows if self.dice.percent(8, 2) => "To be filled by O.E.M.".to_owned(),
            Platform::Windows => format!("SN{}", self.dice.hex(9, 8)),
            Platform::Linux => String::new(),
            Platform::Mac => format!("C02{}", self.dice.hex(9, 9)),
        }
    }

    pub(super) fn make_model(&self) -> &'static str {
        if self.never_seen() { "unknown make/model" } else { self.dice.pick(10, MODELS[self.place()]) }
    }

    pub(super) fn cpu_model(&self) -> Vec<&'static str> {
        if self.never_seen() {
            return vec!["unknown cpu model"];
        }
        vec![
            self.dice.pick(11, PROCESSORS[self.place()]);
            if self.server && self.platform == Platform::Windows { 2 } else { 1 }
        ]
    }

    pub(super) fn graphics(&self) -> &'static str {
        if self.never_seen() {
            "Graphics info requires agent v1.4.14"
        } else {
            self.dice.pick(12, GRAPHICS[self.place()])
        }
    }

    pub(super) fn local_ips(&self) -> String {
        if self.never_seen() {
            return "error getting local ips".to_owned();
        }
        let (a, b) = (self.dice.below(13, 250), self.dice.below(14, 250) + 1);
        match self.platform {
            Platform::Windows if self.server => format!("172.20.{a}.{b}, 172.20.{a}.{}", b + 1),
            Platform::Windows => format!("172.20.{a}.{b}"),
            _ => format!("192.168.{a}.{b}/24, fd00::{a:x}:{b:x}/64"),
        }
    }

    pub(super) fn public_ip(&self) -> Option<String> {
        match self.dice.below(15, 10) {
            _ if self.never_seen() => None,
            0 => None,
            1 => Some(format!("2001:db8::{:x}", self.dice.below(16, 65_000))),
            _ => Some(format!("203.0.113.{}", self.dice.below(16, 254) + 1)),
        }
    }

    pub(super) fn total_ram_gb(&self) -> Option<i64> {
        (!self.never_seen()).then(|| 4 << self.dice.below(17, 5))
    }

    pub(super) fn physical_disks(&self) -> Vec<String> {
        if self.never_seen() {
            return vec!["unknown disk".to_owned()];
        }
        (0..=self.dice.below(18, 2))
            .map(|disk| format!("Samsung SSD 870 {}GB SCSI disk{disk}", 250 << self.dice.below(19 + disk, 3)))
            .collect()
    }

    pub(super) fn disks(&self) -> Value {
        if self.never_seen() {
            return Value::Null;
        }
        let (device, fstype) = match self.platform {
            Platform::Windows => ("C:", "NTFS"),
            Platform::Linux => ("/dev/vda1", "ext4"),
            Platform::Mac => ("/dev/disk3s1s1", "apfs"),
        };
        let percent = self.dice.below(22, 90) + 5;
        let used = 5 * percent;
        json!([{"free": format!("{}.0 GB", 500 - used), "used": format!("{used}.0 GB"), "total": "500.0 GB",
        "device": device, "fstype": fstype, "percent": percent}])
    }

    /// The boot time as epoch seconds, some days before `start_s`.
    pub(super) fn boot_time(&self, start_s: i64) -> Option<f64> {
        (!self.never_seen() && self.dice.percent(23, 80))
            .then(|| (start_s - self.dice.below(24, 40 * DAY_S as u64) as i64) as f64)
    }

    pub(super) fn user(&self) -> Option<&'static str> {
        (!self.never_seen()).then(|| self.dice.pick(25, &USERS))
    }

    pub(super) fn last_user(&self) -> Option<&'static str> {
        (!self.never_seen() && self.dice.percent(26, 85))
            .then(|| self.dice.pick(27, &["Administrator", "jdoe", "NORDLICHT\\jürgen"]))
    }

    pub(super) fn description(&self) -> Option<&'static str> {
        if self.pk == 1 {
            Some(DESCRIPTIONS[2])
        } else {
            self.dice.percent(28, 90).then(|| self.dice.pick(29, &DESCRIPTIONS))
        }
    }

    pub(super) fn mesh_node(&self) -> Option<String> {
        (self.pk != 4 && (self.pk <= 3 || self.dice.percent(30, 95))).then(|| self.dice.hex(31, 96))
    }

    pub(super) fn time_zone(&self) -> Option<&'static str> {
        self.dice.percent(32, 20).then(|| self.dice.pick(33, &TIME_ZONES))
    }

    /// Windows services, `count` of them, about 400 bytes each; null elsewhere.
    pub(super) fn services(&self, count: u32) -> Value {
        if self.platform != Platform::Windows || self.never_seen() {
            return Value::Null;
        }
        (0..count as usize)
            .map(|index| {
                let (name, shown) = SERVICES[index % SERVICES.len()];
                let name = if index < SERVICES.len() { name.to_owned() } else { format!("{name}_{index}") };
                json!({"pid": 1000 + index, "name": name, "status": "running",
                "binpath": "C:\\Windows\\System32\\svchost.exe -k netsvcs -p", "username": "LocalSystem",
                    "autodelay": false, "start_type": "Automatic", "description": format!("{shown}. {}",
                    "It keeps the machine in the state that its owner wants. ".repeat(4)), "display_name": shown})
            })
            .collect()
    }

    /// What WMI (or its substitute) said; `weight` blocks of filler bring real Windows agents to their size.
    pub(super) fn wmi_detail(&self, weight: u32) -> Value {
        if self.never_seen() {
            return Value::Null;
        }
        if self.platform != Platform::Windows {
            return self.unix_detail();
        }
        let filler: Vec<Value> = (0..weight)
            .map(|index| {
                json!([{"Name": format!("Device {index}"), "Status": "OK",
        "PNPDeviceID": "PCI\\VEN_8086&DEV_A36D&SUBSYS_0871", "Manufacturer": null,
        "Description": "Standard device of a standard computer"}])
            })
            .collect();
        json!({"bios": [[{"SerialNumber": self.serial(), "SMBIOSBIOSVersion": "1.14.0"}]],
        "comp_sys": [[{"Model": self.make_model(), "TotalPhysicalMemory": self.total_ram_gb().map(|gb| gb << 30)}]],
            "network_config": [[{"MACAddress": format!("02:{}", self.mac_tail()),
            "IPAddress": [self.local_ips()]}], [{"MACAddress": "", "IPAddress": null}]], "hardware": filler})
    }

    /// What agents on Linux and macOS collect instead; only Macs know their serial number.
    fn unix_detail(&self) -> Value {
        let gpus: Vec<&str> = Some(self.graphics()).filter(|gpu| *gpu != "No graphics cards").into_iter().collect();
        let mut detail = json!({
            "cpus": self.cpu_model(), "gpus": gpus, "disks": self.physical_disks(), "make_model": self.make_model(),
            "local_ips": self.local_ips().split(", ").collect::<Vec<_>>(),
        });
        if self.platform == Platform::Mac {
            detail["serialnumber"] = json!(self.serial());
        }
        detail
    }

    fn mac_tail(&self) -> String {
        let hex = self.dice.hex(34, 10);
        hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect::<Vec<_>>().join(":")
    }

    /// The custom fields as `(definition, value)`.
    pub(super) fn custom_fields(&self) -> Vec<(i64, Value)> {
        match self.dice.below(35, 5) {
            _ if self.pk == 1 => vec![(1, json!("AT-000001"))],
            0 => vec![(1, json!(format!("AT-{:06}", self.pk)))],
            1 => vec![(2, json!(self.dice.percent(36, 50)))],
            2 => vec![(3, json!(["DC", "SQL"]))],
            _ => Vec::new(),
        }
    }

    /// The ids of the checks that this machine has.
    pub(super) fn checks(&self) -> impl Iterator<Item = i64> {
        let windows = self.platform == Platform::Windows;
        (1..).zip(&CHECKS).filter(move |(_, check)| check.windows == windows).map(|(id, _)| id)
    }
}

/// Where the machine `hardware` stands, without making the whole machine: filters look at every one of a large fleet.
pub(super) fn home(seed: u64, hardware: i64) -> u64 {
    match hardware {
        1 | 2 => hardware as u64 - 1,
        _ => Dice::new(seed, hardware).bits(4),
    }
}

fn platform_of(hardware: i64, dice: Dice) -> Platform {
    match (hardware, dice.below(1, 100)) {
        (1 | 3 | 4, _) => Platform::Windows,
        (2, _) => Platform::Linux,
        (5, _) => Platform::Mac,
        (_, 0..=74) => Platform::Windows,
        (_, 75..=92) => Platform::Linux,
        _ => Platform::Mac,
    }
}

fn first_seen(hardware: i64, original: bool, online_percent: u8, dice: Dice) -> FirstSeen {
    if !original || online_percent >= 100 {
        return FirstSeen::Always;
    }
    match hardware {
        1 | 4 => FirstSeen::Always,
        2 => FirstSeen::GoneForS(5 * HOUR_S),
        3 => FirstSeen::Never,
        5 => FirstSeen::GoneForS(34 * DAY_S + HOUR_S),
        _ if dice.percent(37, u64::from(online_percent)) => FirstSeen::Always,
        _ => match dice.below(38, 10) {
            0 | 1 => FirstSeen::Never,
            2..=4 => FirstSeen::GoneForS(6 * MINUTE_S + dice.below(39, 20 * 60) as i64),
            _ => FirstSeen::GoneForS(HOUR_S + dice.below(39, 90 * 86_400) as i64),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_machine() {
        let (one, two) = (Machine::new(3, 50, 50, 88), Machine::new(3, 50, 50, 88));
        assert_eq!(
            (one.hostname.clone(), one.serial(), one.local_ips()),
            (two.hostname.clone(), two.serial(), two.local_ips())
        );
        let reinstalled = Machine::new(3, 900, 50, 88);
        assert_eq!(reinstalled.serial(), one.serial());
        assert_ne!(reinstalled.agent_id, one.agent_id);
    }
}

//! The hand-written words of the simulated world: names, machines, checks, tasks, scripts and programs.

/// Client names; the first comes first. Umlauts, other scripts, quotes and emoji are there on purpose.
pub(super) const CLIENTS: [&str; 12] = [
    "Nordlicht GmbH",
    "Müller & Töchter Bäckerei",
    "Crème “Brûlée” SARL",
    "Harbour, Pike & Sons Ltd.",
    "Вектор ООО",
    "山田工業",
    "Łódź Logistics",
    "<b>Bold</b> Design",
    "Øresund Shipping A/S",
    "O'Hara Legal",
    "Alpenblick Hotel 🏔",
    "Riverside Clinic",
];

/// Site names; the first site of every client is the first.
pub(super) const SITES: [&str; 5] = ["HQ", "Main Office", "Warehouse", "Werk Süd", "Branch"];

/// Host name stems per platform.
pub(super) const WINDOWS_HOSTS: [&str; 6] = ["DESKTOP-", "LAPTOP-", "BÜRO-PC-", "ПК-склад-", "受付-", "WS-"];
/// Host name stems of Windows servers.
pub(super) const WINDOWS_SERVER_HOSTS: [&str; 4] = ["DC-", "SRV-", "SQL-", "HV-"];
/// Host name stems of Linux machines.
pub(super) const LINUX_HOSTS: [&str; 4] = ["web-", "db-", "proxy-", "backup-"];
/// Host name stems of Macs.
pub(super) const MAC_HOSTS: [&str; 3] = ["Studio-Mac-", "Inès’s-MacBook-", "Mac-mini-"];

/// Windows workstations as Tactical writes the operating system.
pub(super) const WINDOWS: [&str; 4] = [
    "Microsoft Windows 11 Pro, 64 bit v23H2 (build 22631.3593)",
    "Microsoft Windows 10 Pro, 64 bit v22H2 (build 19045.4412)",
    "Microsoft Windows 10 Enterprise, 64bit (build 18363)",
    "Microsoft Windows 8.1 Pro, 64bit (build 9600)",
];
/// Windows servers.
pub(super) const WINDOWS_SERVERS: [&str; 3] = [
    "Microsoft Windows Server 2022 Standard, 64 bit v21H2 (build 20348.2461)",
    "Microsoft Windows Server 2019 Datacenter, 64bit (build 17763)",
    "Microsoft Windows Server 2012 R2 Standard, 64bit (build 9600)",
];
/// Linux distributions with their architecture.
pub(super) const LINUX: [(&str, &str); 4] = [
    ("Debian 12.5 x86_64 6.1.0-21-amd64", "amd64"),
    ("Ubuntu 24.04 x86_64 6.8.0-31-generic", "amd64"),
    ("Rocky 9.3 x86_64 5.14.0-362.el9", "amd64"),
    ("Raspbian 12.1 armv7l 6.1.21-v7+", "arm"),
];
/// macOS releases.
pub(super) const MAC: [(&str, &str); 2] =
    [("Darwin 14.4.1 arm64 23.4.0", "arm64"), ("Darwin 12.7.4 x86_64 21.6.0", "amd64")];

/// Agent versions, newest first; versions below 1.6.0 never get their outage resolved.
pub(super) const AGENT_VERSIONS: [&str; 4] = ["2.11.0", "2.10.0", "2.9.1", "1.5.9"];

/// Makes and models per platform: Windows, Linux, macOS.
pub(super) const MODELS: [&[&str]; 3] = [
    &["Dell Inc. OptiPlex 7090", "LENOVO ThinkPad T14 Gen 3", "HPE ProLiant ML350 Gen10", "error getting make/model"],
    &["QEMU Standard PC (i440FX + PIIX, 1996)", "Raspberry Pi 4 Model B Rev 1.4", "Supermicro X11SCL-F"],
    &["Mac14,2", "Macmini9,1"],
];
/// Processors per platform.
pub(super) const PROCESSORS: [&[&str]; 3] = [
    &["Intel(R) Core(TM) i7-1165G7 @ 2.80GHz, 4C/8T", "AMD Ryzen 5 PRO 4650G, 6C/12T"],
    &["Intel Xeon E-2236", "unknown cpu model"],
    &["Apple M2"],
];
/// Graphics per platform.
pub(super) const GRAPHICS: [&[&str]; 3] = [
    &["Intel(R) Iris(R) Xe Graphics", "NVIDIA T400, Intel(R) UHD Graphics 770", "Error getting graphics cards"],
    &["Matrox G200", "No graphics cards"],
    &["No graphics cards"],
];

/// Users as an agent reports them; the string `None` means that nobody is logged in.
pub(super) const USERS: [&str; 6] = ["Administrator", "NORDLICHT\\jürgen", "m.o'neill", "None", "佐藤", "ops"];

/// Descriptions of agents.
pub(super) const DESCRIPTIONS: [&str; 4] = ["Reception", "", "two\nlines\tand C:\\new\\table", "the \"loud\" one"];

/// Time zones that an agent may have (a real server lists about 600).
pub(super) const TIME_ZONES: [&str; 12] = [
    "Africa/Cairo",
    "America/Chicago",
    "America/Los_Angeles",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Paris",
    "Pacific/Auckland",
    "UTC",
];

/// A check that a policy puts on agents; its id is its place + 1.
#[derive(Debug)]
pub(super) struct Check {
    /// Tactical's `check_type`.
    pub(super) kind: &'static str,
    /// Tactical's `readable_desc`.
    pub(super) description: &'static str,
    /// Which agents have it.
    pub(super) windows: bool,
}

/// Every check: six for Windows, two for the others.
pub(super) const CHECKS: [Check; 8] = [
    Check {
        kind: "diskspace",
        description: "Disk Space Check: Drive C: -  Warning Threshold: 25% Error Threshold: 10%",
        windows: true,
    },
    Check {
        kind: "cpuload",
        description: "CPU Load Check -  Warning Threshold: 85% Error Threshold: 95%",
        windows: true,
    },
    Check { kind: "memory", description: "Memory Check -  Warning Threshold: 85% Error Threshold: 95%", windows: true },
    Check { kind: "ping", description: "Ping Check: gateway.example.net", windows: true },
    Check { kind: "winsvc", description: "Service Check: Print Spooler", windows: true },
    Check { kind: "script", description: "Script Check: Check storage pool health", windows: true },
    Check {
        kind: "diskspace",
        description: "Disk Space Check: Drive / -  Warning Threshold: 25% Error Threshold: 10%",
        windows: false,
    },
    Check { kind: "script", description: "Script Check: Check temp dir", windows: false },
];

/// Scheduled tasks as (name, policy); the id is the place + 1.
pub(super) const TASKS: [(&str, &str); 2] =
    [("Nightly cleanup", "Default workstations"), ("Restart spooler", "Default servers")];

/// Scripts as (name, shell); the id is the place + 1. The second one ends with exit code 1.
pub(super) const SCRIPTS: [(&str, &str); 4] = [
    ("Flush DNS cache", "cmd"),
    ("Check storage pool health", "powershell"),
    ("Check temp dir", "python"),
    ("Gather “wide” facts", "shell"),
];

/// Programs as (name, publisher, size); versions and dates come from the dice.
pub(super) const PROGRAMS: [(&str, &str, &str); 20] = [
    ("7-Zip 24.05 (x64)", "Igor Pavlov", "5.6 MB"),
    ("Mozilla Firefox (x64 de)", "Mozilla", "240 MB"),
    ("Google Chrome", "Google LLC", "0 B"),
    ("Microsoft Edge", "Microsoft Corporation", "0 B"),
    ("Microsoft Visual C++ 2015-2022 Redistributable (x64) - 14.38", "Microsoft Corporation", "20.6 MB"),
    ("Microsoft Visual C++ 2015-2022 Redistributable (x86) - 14.38", "Microsoft Corporation", "18.0 MB"),
    ("Microsoft 365 Apps for Business - de-de", "Microsoft Corporation", "0 B"),
    ("Notepad++ (64-bit x64)", "Notepad++ Team", "14.6 MB"),
    ("Zoom Workplace", "Zoom Video Communications, Inc.", "121.4 MB"),
    ("VLC media player", "VideoLAN", "0 B"),
    ("一太郎ビューア", "株式会社ジャストシステム", "88.1 MB"),
    ("1С:Предприятие 8 (8.3.24.1467)", "1С", "1.2 GB"),
    ("Lexware büro plus", "Haufe-Lexware GmbH & Co. KG", "2.4 GB"),
    ("Tactical RMM Agent", "AmidaWare Inc", "35.5 MB"),
    ("Mesh Agent", "", "0 B"),
    ("Java 8 Update 411 (64-bit)", "Oracle Corporation", "126.9 MB"),
    ("Python 3.12.3 (64-bit)", "Python Software Foundation", "98.7 MB"),
    ("PuTTY release 0.81 (64-bit)", "Simon Tatham", "5.1 MB"),
    ("TeamViewer", "TeamViewer", "0 B"),
    ("DATEV Arbeitsplatz pro", "DATEV eG", "3.1 GB"),
];

/// Windows services as (name, display name).
pub(super) const SERVICES: [(&str, &str); 4] = [
    ("Spooler", "Print Spooler"),
    ("W32Time", "Windows Time"),
    ("wuauserv", "Windows Update"),
    ("MSSQLSERVER", "SQL Server (MSSQLSERVER)"),
];

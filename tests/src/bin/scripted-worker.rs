//! A worker whose one job does what its messages say, as a program of its own: `aborts` ends the process at once,
//! `loops` never yields.
//!
//! Every other message is written to the file of `SCRIPTED_APPLIED`, a line each, by the agent that it names.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use contract::{AlertObserved, Worker};
use fault::JobError;
use worker::run::Program;
use worker::{Done, EXIT_CONFIG, Job, NoFlags, Outcome, Received, Registry};

struct Script {
    applied: PathBuf,
}

impl Job for Script {
    type Message = AlertObserved;

    async fn run(&self, batch: &[Received<AlertObserved>]) -> Result<Vec<Outcome>, JobError> {
        if batch.iter().any(|message| message.payload.agent_id == "aborts") {
            std::process::abort();
        }
        while batch.iter().any(|message| message.payload.agent_id == "loops") {
            std::hint::spin_loop();
        }
        let lines: String = batch.iter().map(|message| message.payload.agent_id.clone() + "\n").collect();
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.applied).expect("the test's folder is there");
        file.write_all(lines.as_bytes()).expect("the test's folder can be written to");
        Ok(batch.iter().map(|_| Ok(Done::Applied)).collect())
    }
}

fn main() -> ExitCode {
    let Some(applied) = std::env::var_os("SCRIPTED_APPLIED").map(PathBuf::from) else {
        eprintln!("scripted-worker: set SCRIPTED_APPLIED to the file that it writes to");
        return ExitCode::from(EXIT_CONFIG);
    };
    let program = Program { name: "scripted-worker", version: env!("CARGO_PKG_VERSION") };
    worker::main::<NoFlags>(program, async |_, _| Ok(Registry::new(Worker::Alert).with(Script { applied })))
}

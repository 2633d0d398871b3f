//! A kind, its job and its golden sample belong together: whoever adds one and forgets another fails here.

use std::collections::BTreeMap;
use std::path::Path;

use contract::Worker;
use store::Store;
use worker::Registry;

/// The jobs of every worker: one line per worker program.
fn registries(store: &Store) -> Vec<Registry> {
    let connections =
        connection::Connections::new(store.clone(), tests::fleet::vault(), tests::fleet::tactical_config());
    vec![
        alert_worker::registry(store, &connections),
        sync_worker::registry(store, &connections),
        inventory_worker::registry(store, &connections, inventory_worker::Limits::default()),
    ]
}

/// A store that nobody asks anything.
fn store() -> Store {
    let config = store::Config::for_url("postgres://nobody@127.0.0.1:9/nothing");
    Store::lazy(&config, "contract").expect("the driver reads the URL")
}

#[tokio::test]
async fn every_worker_has_one_registry_and_a_program() {
    let registries: Vec<&str> = registries(&store()).iter().map(|registry| registry.worker().as_str()).collect();
    let workers: Vec<&str> = Worker::ALL.iter().map(|worker| worker.as_str()).collect();
    assert_eq!(registries, workers, "registries() lists every worker once, in the order of Worker::ALL");
    for worker in workers {
        let main = root().join(worker).join("src/main.rs");
        assert!(main.is_file(), "{worker} has no program: {}", main.display());
    }
}

#[tokio::test]
async fn every_kind_has_exactly_one_job_in_the_worker_that_it_names() {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for registry in registries(&store()) {
        for kind in registry.kinds() {
            places.entry(kind).or_default().push(registry.worker().as_str());
        }
    }
    for kind in contract::KINDS {
        let found = places.remove(kind.name).unwrap_or_default();
        assert_eq!(found, [kind.worker.as_str()], "{} has its job there, and the line in jobs.rs", kind.name);
    }
    assert!(places.is_empty(), "jobs whose kind is missing in contract's kinds!: {places:?}");
}

#[test]
fn every_kind_has_a_golden_sample_that_decodes() {
    for kind in contract::KINDS {
        let path = root().join(format!("shared/contract/golden/{}.json", kind.name));
        let sample = std::fs::read(&path).unwrap_or_else(|error| panic!("no sample {}: {error}", path.display()));
        (kind.recode)(&sample).unwrap_or_else(|error| panic!("{} no longer decodes: {error}", kind.name));
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

//! Tells cargo that the migrations are part of the crate: `migrate!` alone does not notice a new file.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}

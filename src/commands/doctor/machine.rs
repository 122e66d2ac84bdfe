//! This machine: client programs, room for temporary things, the processor.

use std::collections::BTreeMap;

use crate::commands::session::Session;
use crate::postgres::Client;
use crate::render::{Check, size};
use crate::wiring;

const PROGRAMS: &str = "programs";
const MACHINE: &str = "machine";

pub fn checks(session: &Session<'_>) -> Vec<Check> {
    let mut checks: Vec<Check> = ["psql", "pg_dump", "pg_restore"]
        .map(|program| client(session, program))
        .into();
    checks.push(servers(session));
    checks.push(work_dir(session));
    checks.push(aes());
    checks
}

/// Every version of a client program that is found.
fn client(session: &Session<'_>, program: &str) -> Check {
    let search = wiring::client_search(&session.settings, session.path.as_deref());
    let found = search.all(program);
    if found.is_empty() {
        // A server in a container brings its own.
        return Check::warn(
            PROGRAMS,
            format!("{program} is not on this machine"),
            "install postgresql-client for the server's major, unless every server is in a \
             container",
        );
    }
    let unpatched = found
        .iter()
        .find(|client| program == "psql" && !client.knows_restrict());
    if let Some(client) = unpatched {
        return Check::warn(
            PROGRAMS,
            format!(
                "psql {} cannot be kept from running commands that stand in a dump \
                 (CVE-2025-8714)",
                client.version
            ),
            format!("install the current postgresql-client-{}", client.major),
        );
    }
    Check::ok(PROGRAMS, format!("{program} {}", versions(&found)))
}

/// One place for each version.
fn versions(found: &[Client]) -> String {
    let by_version: BTreeMap<(u32, u32), &Client> = found
        .iter()
        .map(|client| ((client.major, client.minor), client))
        .collect();
    let told = by_version.iter().map(|((major, minor), client)| {
        let directory = client.path.parent().unwrap_or(&client.path);
        format!("{major}.{minor} in {}", directory.display())
    });
    told.collect::<Vec<_>>().join(", ")
}

fn servers(session: &Session<'_>) -> Check {
    let search = wiring::client_search(&session.settings, session.path.as_deref());
    let found = search.all("postgres");
    if found.is_empty() {
        return Check::warn(
            PROGRAMS,
            "no PostgreSQL server programs: kluis verify --restore cannot start a throwaway \
             server",
            "install postgresql-N for the server's major N, or use verify --restore --in-server",
        );
    }
    Check::ok(
        PROGRAMS,
        format!("postgres {}, for verify --restore", versions(&found)),
    )
}

fn work_dir(session: &Session<'_>) -> Check {
    let directory = &session.settings.work_dir.value;
    let remedy = "set work_dir in kluis.toml, or TMPDIR, to a directory with room";
    if rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
        let found = format!("{} cannot be written to", directory.display());
        return Check::fail(MACHINE, found, remedy);
    }
    match rustix::fs::statvfs(directory) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!(
                "{} free in {}, for throwaway servers and directory dumps",
                size(free),
                directory.display()
            );
            Check::ok(MACHINE, found)
        }
        Err(error) => Check::warn(MACHINE, format!("{}: {error}", directory.display()), remedy),
    }
}

fn aes() -> Check {
    if has_hardware_aes() {
        return Check::ok(MACHINE, "the processor does AES in hardware");
    }
    Check::warn(
        MACHINE,
        "the processor has no AES instructions: encryption will be the slowest step",
        "a virtual machine may hide them: let it pass the host's processor through",
    )
}

#[cfg(target_arch = "x86_64")]
fn has_hardware_aes() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_hardware_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_hardware_aes() -> bool {
    false
}

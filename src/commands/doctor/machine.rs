//! This machine: client programs, room for temporary things, the processor.

use std::collections::BTreeMap;

use crate::commands::session::Session;
use crate::config::Settings;
use crate::postgres::{Client, PSQL, PostgresError, missing_walls};
use crate::render::{Check, size};
use crate::scratch::Scratch;
use crate::wiring;

const PROGRAMS: &str = "programs";
const MACHINE: &str = "machine";

pub fn checks(session: &Session<'_>) -> Vec<Check> {
    let mut checks: Vec<Check> = [PSQL, "pg_dump", "pg_restore"]
        .map(|program| client(session, program))
        .into();
    checks.push(servers(session));
    checks.extend(walls(session));
    checks.push(work_dir(session));
    checks.extend(ignored(session));
    checks.extend(
        no_zone(&session.settings).map(|(found, remedy)| Check::warn(MACHINE, found, remedy)),
    );
    checks.push(aes());
    checks
}

/// What stands in for a time zone that is not known, and what to do.
pub fn no_zone(settings: &Settings) -> Option<(String, &'static str)> {
    let why = settings.no_time_zone.as_ref()?;
    let found = format!("the machine's time zone is not known, and UTC stands in for it: {why}");
    Some((
        found,
        "set time_zone in kluis.toml (BACKUP_CRON_TIMEZONE), or TZ to a zone that is installed \
         (package tzdata)",
    ))
}

/// What is set for another service, and has no part in a backup of ours.
fn ignored(session: &Session<'_>) -> Option<Check> {
    let names = &session.settings.ignored;
    let found = format!("kluis does not read {}", names.join(", "));
    let remedy = "man 7 kluis-migrating says what stands for the variables of Kanbu's service; \
                  others may be another program's";
    (!names.is_empty()).then(|| Check::warn(MACHINE, found, remedy))
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
        .find(|client| program == PSQL && !client.knows_restrict());
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

/// What is missing around throwaway servers, if there are any.
fn walls(session: &Session<'_>) -> Option<Check> {
    let search = wiring::client_search(&session.settings, session.path.as_deref());
    let newest = search.newest("postgres").ok()?;
    let found = missing_walls(&newest.path, &session.settings.work_dir.value);
    let check = match found {
        Err(PostgresError::Scratch(_)) => Check::warn(
            MACHINE,
            "how throwaway servers are held in could not be judged: the work directory is of no \
             use, as told below",
            "mend that first",
        ),
        Err(error) => Check::fail(
            MACHINE,
            error.to_string(),
            "set work_dir in kluis.toml, or TMPDIR, to a directory that only root can write and \
             every user can pass, such as /var/tmp",
        ),
        Ok(None) => Check::ok(
            MACHINE,
            "throwaway servers are held in: no programs, no network, no files but their own",
        ),
        Ok(Some(missing)) => Check::warn(
            MACHINE,
            missing,
            "Linux 5.13 or newer with Landlock and seccomp, and root for a user of its own",
        ),
    };
    Some(check)
}

fn work_dir(session: &Session<'_>) -> Check {
    let directory = &session.settings.work_dir.value;
    let remedy = "set work_dir in kluis.toml, or TMPDIR, to a directory with room";
    // What a run does: as root it refuses more than what it cannot write to.
    if let Err(error) = Scratch::create(directory, "doctor") {
        let (what, remedy) = error.parts();
        return Check::fail(MACHINE, what, format!("{remedy}, such as /var/tmp"));
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

//! The container engine, and the servers in it.

use crate::commands::session::Session;
use crate::config::{DockerSettings, PgMode};
use crate::postgres::look_at_engine;
use crate::process::Runner;
use crate::render::Check;

const AREA: &str = "docker";

/// One that is not there matters only where a server is meant to be in it.
pub fn check(session: &Session<'_>) -> Check {
    let settings = &session.settings.database;
    let is_meant = settings.mode.value == PgMode::Docker || names_container(&settings.docker);
    let Some(runner) = Runner::new(&settings.docker.command.value) else {
        let remedy = "set docker_command to [\"docker\"], or leave it out";
        return Check::fail(AREA, "docker_command names no program", remedy);
    };
    match look_at_engine(&runner) {
        Ok(engine) => {
            let servers = match engine.servers.as_slice() {
                [] => "no container runs PostgreSQL".to_owned(),
                servers => format!("containers with PostgreSQL: {}", servers.join(", ")),
            };
            let found = format!("`{}` {}; {servers}", runner.text(), engine.version);
            Check::ok(AREA, found)
        }
        Err(error) if is_meant => Check::warn(
            AREA,
            error.to_string(),
            "or reach the server directly: --mode direct --url URL",
        ),
        Err(_) => Check::ok(
            AREA,
            format!("`{}` is not used, and not usable here", runner.text()),
        ),
    }
}

fn names_container(docker: &DockerSettings) -> bool {
    docker.container.is_some() || docker.label.is_some() || docker.pattern.is_some()
}

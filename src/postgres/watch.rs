//! Ends what runs in a container when the run that started it ends early. A
//! killed `docker exec` leaves its pg_dump behind: docker reads on for it, and
//! it dumps to its end, holding its locks.
//!
//! Each watched session has a name of its own, `kluis-<token>-<number>`, and
//! ends when the server ends its backend. Invariant: whatever happens to us,
//! `kill -9` included, the keeper does that: a psql in the container that waits
//! at its stdin and, at its end, ends every session of the token.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::docker::{ANSWER_MAX, Container};
use super::psql::{self, Psql};
use super::server::{Access, to_database};
use super::sql::{Sql, literal, sql};
use super::{Client, PostgresError, random_hex};
use crate::process::{ChildReader, FilterInput, Tool, spawn_filter};

/// Seconds between the keeper's passes: a session may just be starting when
/// its run is killed.
const PAUSES: [&str; 4] = ["0.2", "0.5", "1", "3"];

/// The name of a keeper's session, before its token, as long as its run lives.
pub(super) const KEEPER: &str = "kluis keeper of ";

/// The keeper's answer once it stands.
const READY: &str = "ready";

/// What the keeper does at first. Servers since 14 may end a session for being
/// idle. That setting is asked for, because older ones do not know it. No pooler
/// stands in a container's own socket, so what is set may stay set.
const FIRST: &str = "SET search_path = pg_catalog, pg_temp;
SELECT FROM (SELECT set_config(name, '0', false) FROM pg_settings
WHERE name = 'idle_session_timeout') AS asked;
SELECT 'ready';
";

/// The watched sessions of one run on one server.
pub(super) struct Watch {
    container: Container,
    psql: Client,
    /// Where the keeper sits, and where sessions are ended from.
    database: String,
    token: String,
    sessions: AtomicU64,
    /// Whether some session may go on although its child is gone.
    cut_short: AtomicBool,
    keeper: Mutex<Option<Keeper>>,
}

struct Keeper {
    input: FilterInput,
    output: BufReader<ChildReader>,
}

impl Watch {
    /// Starts the keeper. It sits in `database`, which should be one that is
    /// neither dropped nor renamed.
    pub(super) fn start(
        container: &Container,
        psql: &Client,
        database: &str,
    ) -> Result<Arc<Self>, PostgresError> {
        let token = random_hex::<4>()?;
        let keeper = keeper(container, psql, database, &token)?;
        let opening = keeper.opening(&FIRST.into())?;
        let (input, output) = spawn_filter(keeper.tool())?;
        let mut keeper = Keeper {
            input,
            output: BufReader::new(output),
        };
        keeper
            .wait_ready(&opening)
            .map_err(|error| PostgresError::Answer {
                action: "watch over the container's sessions".to_owned(),
                detail: error.to_string(),
            })?;
        Ok(Arc::new(Self {
            container: container.clone(),
            psql: psql.clone(),
            database: database.to_owned(),
            token,
            sessions: AtomicU64::new(0),
            cut_short: AtomicBool::new(false),
            keeper: Mutex::new(Some(keeper)),
        }))
    }

    /// What tells this run from others.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Gives the tool's session its name, and has it ended with the tool.
    pub(super) fn over(self: &Arc<Self>, tool: Tool) -> Tool {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let name = format!("kluis-{}-{number}", self.token);
        let watch = Arc::clone(self);
        let named = tool.env("PGAPPNAME", &name);
        named.when_cut_short(move || watch.end(&name))
    }

    /// Ends one session. By a psql of its own, because a stop may have taken
    /// the keeper's docker client already.
    fn end(&self, session: &str) {
        self.cut_short.store(true, Ordering::Relaxed);
        let session = sql!("application_name = {name}", name = literal(session));
        let end = sql!(
            "BEGIN;\n{settings}{end};\nCOMMIT;\n",
            settings = psql::OUR_SETTINGS,
            end = ending(&session)
        );
        let access = Access::Docker(self.container.clone());
        // The keeper does it again; a container that is gone has no sessions.
        let limit = Some(ANSWER_MAX);
        let _ = psql::ask(
            &access,
            &self.psql,
            &self.database,
            "end a session",
            &end,
            limit,
        );
    }
}

impl Keeper {
    fn wait_ready(&mut self, opening: &str) -> std::io::Result<()> {
        self.input.write_all(opening.as_bytes())?;
        let mut line = String::new();
        while line.trim() != READY {
            line.clear();
            if self.output.read_line(&mut line)? == 0 {
                return Err(std::io::Error::other("psql ended at once"));
            }
        }
        Ok(())
    }

    /// Nothing is left to end: it need not look.
    fn dismiss(mut self) {
        let said = self.input.write_all(b"SET kluis.done = 'yes';\n");
        drop(self.input);
        // Read to its end, so that the line above arrives; how it ends is no
        // matter.
        let _ = said.and_then(|()| self.output.read_to_end(&mut Vec::new()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let keeper = self
            .keeper
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Otherwise its end of input is enough: it works on alone.
        if let Some(keeper) = keeper.take().filter(|_| !*self.cut_short.get_mut()) {
            keeper.dismiss();
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// psql that reads its stdin first, and runs the other commands then.
fn keeper(
    container: &Container,
    client: &Client,
    database: &str,
    token: &str,
) -> Result<Psql, PostgresError> {
    let sessions = format!("kluis-{token}-");
    let pass = ending(&sql!(
        "left(application_name, {length}) = {sessions}",
        length = sessions.len(),
        sessions = literal(&sessions)
    ));
    let pass = sql!(
        "{pass} AND {unless}",
        pass = pass,
        unless = UNLESS_DISMISSED
    );
    let tool = to_database(container.client_tool(&client.path), database)
        .env("PGAPPNAME", format!("{KEEPER}{token}"));
    let mut keeper = Psql::asking(tool, client)?
        .then(&"SET application_name = 'kluis keeper, ending'".into())?;
    for pause in PAUSES {
        keeper = keeper.then(&pass)?.then(&sql!(
            "SELECT pg_sleep({pause}) WHERE {unless}",
            pause = pause,
            unless = UNLESS_DISMISSED
        ))?;
    }
    keeper.then(&pass)
}

const UNLESS_DISMISSED: &str = "current_setting('kluis.done', true) IS NULL";

/// Only of our own role: others' we could not end, and could not mean.
fn ending(which: &Sql) -> Sql {
    sql!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE usename = session_user AND pid <> pg_backend_pid() AND {which}",
        which = which
    )
}

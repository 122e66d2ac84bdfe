//! What stands behind the HTTP trigger: orders go to the scheduler's loop, the
//! report is made by a child of its own.

use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::Sender;

use super::job::ourselves;
use super::scheduler::Told;
use crate::commands::session::{GivenFlags, Session};
use crate::exit::Exit;
use crate::operations::Reporter;
use crate::process::ChildRun;
use crate::trigger::{ApiKey, Desk, Order, Outcome, Server};

struct Counter {
    tell: Sender<Told>,
    given: GivenFlags,
}

impl Desk for Counter {
    fn take(&self, order: Order) {
        if let Err(unsent) = self.tell.send(Told::Ordered(order))
            && let Told::Ordered(order) = unsent.into_inner()
        {
            order.answer(Outcome::Stopping);
        }
    }

    fn page(&self) -> Result<Vec<u8>, String> {
        let tool = ourselves(&GivenFlags {
            // A report waits for nobody; what it warns of, its reader sees.
            lock_wait: Some(Duration::ZERO),
            ..self.given.clone()
        });
        let tool = tool.args(["report", "--html", "-"]).keep_stderr();
        let ended = ChildRun::spawn(&tool).and_then(ChildRun::wait);
        let ended = ended.map_err(|error| error.to_string())?;
        match ended.exit_code == i32::from(Exit::Done.code()) && !ended.stdout.is_empty() {
            true => Ok(ended.stdout),
            false => {
                let said = ended.stderr.lines().next().unwrap_or("it said nothing");
                Err(format!(
                    "kluis report ended with exit code {}: {said}",
                    ended.exit_code
                ))
            }
        }
    }
}

/// Opens the trigger.
pub fn listen(session: &Session<'_>, key: ApiKey, tell: Sender<Told>) -> anyhow::Result<Server> {
    let wanted = session.settings.serve.listen.value;
    let counter = Counter {
        tell,
        given: session.given.clone(),
    };
    let server = Server::start(wanted, key, counter).with_context(|| {
        format!("cannot listen on {wanted}; choose another address: [serve] listen")
    })?;
    let address = server.address();
    if !address.ip().is_loopback() {
        session.console.warn(&format!(
            "the trigger listens on {address} without TLS: who listens on the way reads its \
             key; put a proxy with TLS before it, and listen on 127.0.0.1"
        ));
    }
    session
        .console
        .info(&format!("listening on http://{address}"));
    Ok(server)
}

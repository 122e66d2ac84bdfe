//! The question before a database is replaced: all that a tired operator should see
//! before the name is typed.

use super::{DatabaseDestination, Restoring};
use crate::operations::OperationError;
use crate::postgres::{Clients, InUse, Server};
use crate::render::{age, counted, size, when};

/// Groups of clients that are named.
const CLIENTS_SHOWN: usize = 5;

impl Restoring<'_> {
    pub(super) fn confirm_replacing(
        &self,
        server: &Server,
        to: &DatabaseDestination,
        is_there: bool,
        backs_up: bool,
    ) -> anyhow::Result<()> {
        let session = self.session;
        let in_use = match is_there {
            true => Some(server.in_use(&to.name).map_err(OperationError::from)?),
            false => None,
        };
        let old = match (&in_use, to.keep_old, backs_up) {
            (None, ..) => "it is not there now, and is made",
            (_, true, _) => "stays under another name",
            (_, false, true) => "is backed up first, and gone then",
            (_, false, false) => "gone then, WITHOUT A BACKUP of it",
        };
        let bytes = in_use.as_ref().and_then(|it| it.bytes);
        let bytes = bytes.map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
        let backup = self.backup;
        let (at, view) = (backup.created_at(), &session.view);
        let question = format!(
            "This replaces a database.\n  server    {}\n  database  {}{bytes}: {old}\n  \
             clients   {}\n  by        {}\n            made {}, {}, {} stored",
            server.place(),
            to.name,
            clients(in_use.as_ref(), to.in_place),
            backup.archive,
            when(at, view),
            age(at, view.now),
            size(backup.stored_bytes()),
        );
        Ok(session
            .console
            .confirm(&question, &to.name, session.cancel)?)
    }
}

/// `3 will be disconnected: app (2), psql of admin`.
fn clients(in_use: Option<&InUse>, in_place: bool) -> String {
    let groups = in_use.map_or(&[][..], |it| &it.clients);
    let sessions = groups.iter().map(|group| group.sessions).sum();
    if sessions == 0 {
        return "none is connected".to_owned();
    }
    let mut named: Vec<String> = groups.iter().take(CLIENTS_SHOWN).map(client).collect();
    if groups.len() > CLIENTS_SHOWN {
        named.push("others".to_owned());
    }
    let what = match in_place {
        true => "connected, waits meanwhile: ",
        false => "WILL BE DISCONNECTED: ",
    };
    format!(
        "{} {what}{}",
        counted(sessions, "session", "sessions"),
        named.join(", ")
    )
}

fn client(group: &Clients) -> String {
    let program = match group.program.is_empty() {
        true => group.role.clone(),
        false => format!("{} of {}", group.program, group.role),
    };
    match group.sessions {
        1 => program,
        some => format!("{program} ({some})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_and_named_once() {
        let group = |role: &str, program: &str, sessions| Clients {
            role: role.to_owned(),
            program: program.to_owned(),
            sessions,
        };
        let in_use = InUse {
            bytes: None,
            clients: vec![group("app", "", 2), group("admin", "psql", 1)],
        };
        assert_eq!(
            clients(Some(&in_use), false),
            "3 sessions WILL BE DISCONNECTED: app (2), psql of admin"
        );
        assert_eq!(clients(None, false), "none is connected");
    }
}

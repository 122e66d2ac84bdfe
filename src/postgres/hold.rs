//! Who holds what a run works on: sessions with the advisory lock of its name.
//!
//! Anybody who may connect can take such a lock. Owns whose counts: that of a role that
//! could drop the thing itself, so that nobody else keeps what a dead run has left.

use std::fmt;

use serde::Deserialize;

use super::sql::{Sql, sql};

/// One lock per name; the locks' numbers are the server's own hash of it.
pub(super) const KEY: &str = "pg_catalog.hashtextextended";

/// A session that holds the lock of a name, or a prepared transaction that does.
#[derive(Debug, Deserialize)]
pub(super) struct Holder {
    role: String,
    process: Option<i64>,
    /// It may be a run's.
    counts: bool,
}

/// In SQL: those of the lock of `name`. Ours may be a run's, and a superuser's, and
/// that of a role that may act for `owner`.
pub(super) fn holders(name: &'static str, owner: &'static str) -> Sql {
    sql!(
        "(SELECT coalesce(json_agg(json_build_object('role', coalesce(s.usename, '?'),
             'process', l.pid, 'counts', coalesce(s.usename = session_user OR EXISTS (
               SELECT FROM pg_roles AS r WHERE (r.rolsuper OR r.oid = {owner})
                 AND pg_has_role(s.usesysid, r.oid, 'MEMBER')), false))), '[]')
           FROM pg_locks AS l LEFT JOIN pg_stat_activity AS s ON s.pid = l.pid
          WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            AND ((l.classid::bigint << 32) | l.objid::bigint) = {key}({name}::text, 0))",
        key = KEY,
        name = name,
        owner = owner
    )
}

/// The holder by which a run may still be at work.
pub(super) fn of_a_run(holders: &[Holder]) -> Option<&Holder> {
    holders.iter().find(|holder| holder.counts)
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "the role {:?} (its process {process})", self.role),
            None => f.write_str("a prepared transaction"),
        }
    }
}

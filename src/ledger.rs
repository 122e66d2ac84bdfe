//! The ledger: what a plain dump holds, read while it streams by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a dump holds. Two dumps of the same content have equal ledgers, in
/// whatever order the server returned the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub tables: Vec<TableLedger>,
    /// Count of objects by the dump's own type names: "TABLE", "INDEX", ...
    pub objects: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLedger {
    pub schema: String,
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub hash: String,
}

//! What `kluis restore` prints of roles.

use serde::Serialize;

use super::style::line;
use super::units::counted;
use super::{Report, View};

#[derive(Debug, Serialize)]
pub struct RolesReport {
    pub file: String,
    pub server: String,
    /// Nothing was changed; `roles` is empty.
    pub dry_run: bool,
    /// Those that were made.
    pub roles: Vec<String>,
    pub warnings: Vec<String>,
}

impl Report for RolesReport {
    fn text(&self, _view: &View) -> String {
        let server = line(&self.server);
        if self.dry_run {
            return format!("{} is whole; nothing was changed\n", line(&self.file));
        }
        if self.roles.is_empty() {
            return format!("{server} has all of the roles; nothing was changed\n");
        }
        let count = counted(self.roles.len() as u64, "role", "roles");
        let mut text = format!("{count} made at {server}:\n");
        for role in &self.roles {
            text.push_str(&format!("  {}\n", line(role)));
        }
        text
    }
}

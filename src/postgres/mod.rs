//! PostgreSQL servers and their client programs.

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {}

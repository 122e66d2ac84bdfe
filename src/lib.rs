//! kluis backs up PostgreSQL databases and source trees, proves that the
//! backups restore, and keeps what the policy says.
//!
//! The modules below stand in layer order. A module imports from its own layer
//! or from lower ones, never from above: `tests/layers.rs` holds that.
//!
//! Where does a thing live? Makes bytes: [`source`]. Changes bytes:
//! [`pipeline`]. Keeps them: [`storage`]. Gets them back: [`target`]. Defines
//! them: [`mod@format`]. Decides: [`retention`], [`health`], [`schedule`]. Orders
//! steps: [`operations`]. Tells others: [`notify`]; is told by them: [`trigger`].
//! Talks to people: [`commands`], [`render`].

// Edge: talks to people and to the environment.
pub mod cli;
pub mod commands;
pub mod config;
pub mod exit;
pub mod render;
pub mod signals;
pub mod wiring;

// Operations: order the steps, know traits only.
pub mod catalog;
pub mod operations;

// Drivers: one room per outside thing.
pub mod hooks;
pub mod lock;
pub mod notify;
pub mod paths;
pub mod postgres;
pub mod process;
pub mod scratch;
pub mod secrets;
pub mod source;
pub mod storage;
pub mod strict;
pub mod systemd;
pub mod target;
pub mod trigger;

// Engine: changes bytes.
pub mod pipeline;

// Pure: no file, process, clock or environment.
pub mod cancel;
pub mod checked;
pub mod dump;
pub mod event;
pub mod format;
pub mod glob;
pub mod health;
pub mod ids;
pub mod ledger;
pub mod reached;
pub mod retention;
pub mod schedule;
pub mod series;
pub mod words;

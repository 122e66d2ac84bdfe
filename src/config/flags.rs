//! The flags that settings can be overridden by, apart from the commands they
//! belong to, so that [`super::resolve()`] does not depend on the command line.

use std::path::PathBuf;
use std::time::Duration;

use super::schedule::Work;
use crate::cli::{
    BackupCommand, BackupDb, BackupSource, Cli, Command, DatabaseFlags, RetentionFlags,
    SealingFlags, ServerFlags,
};
use crate::format::manifest::Codec;

/// What was said on the command line. The default is: nothing.
#[derive(Default)]
pub struct Flags {
    pub config: Option<PathBuf>,
    pub env_file: Option<PathBuf>,
    pub storage: Option<PathBuf>,
    pub lock_wait: Option<Duration>,
    pub run_limit: Option<Duration>,
    pub stall_limit: Option<Duration>,
    pub host: Option<String>,
    pub server: ServerFlags,
    pub databases: DatabaseFlags,
    /// Off: nothing is backed up before it is replaced.
    pub no_pre_restore_backup: bool,
    pub codec: Option<Codec>,
    pub level: Option<u32>,
    pub no_encrypt: bool,
    pub source: SourceFlags,
    pub retention: RetentionFlags,
    /// The schedule that the run belongs to, and of what one of it must be.
    pub schedule: Option<(String, &'static [Work])>,
}

/// Those of `backup source`. Lists replace the configuration's paths but add to
/// its excludes.
#[derive(Default)]
pub struct SourceFlags {
    pub paths: Vec<PathBuf>,
    pub name: Option<String>,
    pub excludes: Vec<String>,
    pub exclude_from: Vec<PathBuf>,
    pub exclude_caches: bool,
    pub exclude_if_present: Vec<String>,
    pub no_default_excludes: bool,
    pub one_file_system: bool,
    pub allow_empty: bool,
}

impl Flags {
    /// Takes the settings' overrides out of the command line; what only its own
    /// command needs stays there.
    pub fn take_from(cli: &mut Cli) -> Self {
        let global = &mut cli.global;
        let mut flags = Self {
            config: global.config.take(),
            env_file: global.env_file.take(),
            storage: global.storage.take(),
            lock_wait: global.lock_wait.take(),
            run_limit: global.run_limit.take(),
            stall_limit: global.stall_limit.take(),
            ..Self::default()
        };
        match &mut cli.command {
            Command::Backup(BackupCommand::Db(db)) => flags.take_db(db),
            Command::Backup(BackupCommand::Source(source)) => flags.take_source(source),
            Command::Restore(restore) => {
                flags.server = std::mem::take(&mut restore.server);
                flags.no_pre_restore_backup = restore.no_pre_restore_backup;
            }
            Command::Doctor(doctor) => flags.server = std::mem::take(&mut doctor.server),
            Command::Verify(verify) => {
                flags.server = std::mem::take(&mut verify.server);
                flags.of_schedule(verify.run.schedule.as_ref(), &[Work::Verify]);
            }
            Command::Check(check) => flags.of_schedule(check.run.schedule.as_ref(), &[Work::Check]),
            Command::Prune(prune) => {
                flags.retention = std::mem::take(&mut prune.retention);
                // A preview may be of what a backup's schedule keeps.
                let works: &[Work] = match prune.dry_run || prune.simulate.is_some() {
                    true => &[Work::Prune, Work::Db, Work::Source],
                    false => &[Work::Prune],
                };
                flags.of_schedule(prune.run.schedule.as_ref(), works);
            }
            _ => {}
        }
        flags
    }

    fn of_schedule(&mut self, name: Option<&String>, works: &'static [Work]) {
        self.schedule = name.map(|name| (name.clone(), works));
    }

    fn take_db(&mut self, db: &mut BackupDb) {
        self.of_schedule(db.record.schedule.as_ref(), &[Work::Db]);
        self.host = db.record.host.take();
        self.server = std::mem::take(&mut db.server);
        self.databases = std::mem::take(&mut db.databases);
        self.take_sealing(&db.sealing);
    }

    fn take_source(&mut self, source: &mut BackupSource) {
        self.of_schedule(source.record.schedule.as_ref(), &[Work::Source]);
        self.host = source.record.host.take();
        self.source = SourceFlags {
            paths: std::mem::take(&mut source.paths),
            name: source.name.take(),
            excludes: std::mem::take(&mut source.excludes),
            exclude_from: std::mem::take(&mut source.exclude_from),
            exclude_caches: source.exclude_caches,
            exclude_if_present: std::mem::take(&mut source.exclude_if_present),
            no_default_excludes: source.no_default_excludes,
            one_file_system: source.one_file_system,
            allow_empty: source.allow_empty,
        };
        self.take_sealing(&source.sealing);
    }

    fn take_sealing(&mut self, sealing: &SealingFlags) {
        self.codec = sealing.codec.map(Codec::from);
        self.level = sealing.level;
        self.no_encrypt = sealing.no_encrypt;
    }
}

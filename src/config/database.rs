//! The settings of `[database]`: the server, the way to it, what is dumped.

use std::time::Duration;

use super::duration::parse_wait;
use super::layers::{Layers, flag, joined, or_default, switch, wrong};
use super::settings::{DatabaseSettings, DockerSettings, DumpSettings, PgMode};
use super::values::{checked_label, parse_dump_format, parse_mode};
use super::{ConfigError, Origin, Sourced};
use crate::cli::{DatabaseFlags, ModeArg, ServerFlags};
use crate::format::names::ArchiveFormat;
use crate::postgres::DumpOption;
use crate::secrets::SecretText;

const LOCK_WAIT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
const JOBS_DEFAULT: u32 = 1;
const JOBS_MAX: u32 = 256;

impl Layers<'_> {
    pub(super) fn database(
        &self,
        server: ServerFlags,
        databases: DatabaseFlags,
        no_pre_restore_backup: bool,
        scheduled: Option<Sourced<Vec<String>>>,
    ) -> Result<DatabaseSettings, ConfigError> {
        let keys = &self.keys.database;
        let secret = |url: Sourced<String>| Sourced::new(SecretText::new(url.value), url.origin);
        let url = flag("--url", server.url.map(SecretText::new))
            .or(self.variable("DATABASE_URL")?.map(secret))
            .or(self.key(&keys.url).map(secret));
        let url_above_file = url
            .as_ref()
            .is_some_and(|url| !matches!(url.origin, Origin::File { .. }));
        // A name in the file belongs to the file's server: where a flag or the
        // environment names another one, it would pick the wrong database.
        let name = self.key(&keys.name).filter(|_| !url_above_file);
        let docker = self.docker(server.container)?;
        let mode = self.mode(server.mode, &docker)?;
        Ok(DatabaseSettings {
            server: self.server(&url, &docker)?,
            url,
            name,
            libpq: self.environment.libpq_variables(),
            mode,
            docker,
            client_bin_dir: self.path_key(&keys.client_bin_dir),
            dump: self.dump(databases, scheduled)?,
            pre_restore_backup: or_default(
                switch("--no-pre-restore-backup", no_pre_restore_backup, false)
                    .or(self.key(&keys.pre_restore_backup)),
                true,
            ),
        })
    }

    /// The file's label is its server's: one that a flag names is another.
    fn server(
        &self,
        url: &Option<Sourced<SecretText>>,
        docker: &DockerSettings,
    ) -> Result<Option<Sourced<String>>, ConfigError> {
        let by_flag = url.as_ref().is_some_and(|url| url.origin.is_flag())
            || docker
                .container
                .as_ref()
                .is_some_and(|it| it.origin.is_flag());
        let label = self.key(&self.keys.database.server);
        label.filter(|_| !by_flag).map(checked_label).transpose()
    }

    /// A container that is named by a flag means its server, whatever mode the
    /// layers below say.
    fn mode(
        &self,
        given: Option<ModeArg>,
        docker: &DockerSettings,
    ) -> Result<Sourced<PgMode>, ConfigError> {
        let given = given.map(|mode| match mode {
            ModeArg::Auto => PgMode::Auto,
            ModeArg::Direct => PgMode::Direct,
            ModeArg::Docker => PgMode::Docker,
        });
        let by_container = docker
            .container
            .as_ref()
            .filter(|container| matches!(container.origin, Origin::Flag(_)))
            .map(|container| Sourced::new(PgMode::Docker, container.origin.clone()));
        let mode = flag("--mode", given)
            .or(by_container)
            .or(self.parsed_variable("BACKUP_PG_MODE", parse_mode)?)
            .or(self.parsed_key(&self.keys.database.mode, parse_mode)?);
        Ok(or_default(mode, PgMode::Auto))
    }

    fn docker(&self, container: Option<String>) -> Result<DockerSettings, ConfigError> {
        let keys = &self.keys.database;
        let command = or_default(self.key(&keys.docker_command), vec!["docker".to_owned()]);
        if command.value.first().is_none_or(String::is_empty) {
            return Err(wrong(&command.origin, "docker_command names no program"));
        }
        let socket = self.key(&keys.container_socket);
        if let Some(it) = socket.as_ref().filter(|it| !it.value.starts_with('/')) {
            return Err(wrong(
                &it.origin,
                "container_socket is a directory in the container: /..",
            ));
        }
        Ok(DockerSettings {
            container: flag("--container", container)
                .or(self.variable("POSTGRES_CONTAINER")?)
                .or(self.key(&keys.container)),
            label: self
                .variable("POSTGRES_CONTAINER_LABEL")?
                .or(self.key(&keys.container_label)),
            pattern: self
                .variable("POSTGRES_CONTAINER_PATTERN")?
                .or(self.key(&keys.container_pattern)),
            database: self
                .variable("POSTGRES_DB")?
                .or(self.key(&keys.container_database)),
            user: self
                .variable("POSTGRES_USER")?
                .or(self.key(&keys.container_user)),
            port: self.key(&keys.container_port),
            socket,
            command,
        })
    }

    fn dump(
        &self,
        given: DatabaseFlags,
        scheduled: Option<Sourced<Vec<String>>>,
    ) -> Result<DumpSettings, ConfigError> {
        let keys = &self.keys.database;
        let named = (!given.names.is_empty()).then_some(given.names);
        let names = flag("NAME", named).or(scheduled);
        // Names on the command line, or of a schedule, are all that is meant.
        let file_all = self.key(&keys.all).filter(|_| names.is_none());
        let jobs = or_default(
            flag("--jobs", given.jobs).or(self.key(&keys.jobs)),
            JOBS_DEFAULT,
        );
        if !(1..=JOBS_MAX).contains(&jobs.value) {
            return Err(wrong(&jobs.origin, format!("jobs must be 1 to {JOBS_MAX}")));
        }
        let options: Sourced<Vec<String>> = or_default(self.key(&keys.dump_options), Vec::new());
        let checked = options.value.iter().map(|option| DumpOption::asked(option));
        let checked = checked.collect::<Result<_, _>>();
        let options = Sourced {
            value: checked.map_err(|why| wrong(&options.origin, why))?,
            origin: options.origin,
        };
        let format = or_default(
            flag("--format", given.format.map(ArchiveFormat::from))
                .or(self.parsed_key(&keys.format, parse_dump_format)?),
            ArchiveFormat::Plain,
        );
        let by_flag = matches!(jobs.origin, Origin::Flag(_));
        if by_flag && jobs.value > 1 && format.value != ArchiveFormat::Directory {
            return Err(wrong(&jobs.origin, "several jobs need --format directory"));
        }
        Ok(DumpSettings {
            names: or_default(names.or(self.key(&keys.names)), Vec::new()),
            all: or_default(switch("--all", given.all, true).or(file_all), false),
            exclude: joined("--exclude-db", given.exclude_db, self.key(&keys.exclude)),
            globals: or_default(
                switch("--globals", given.globals, true).or(self.key(&keys.globals)),
                false,
            ),
            format,
            jobs,
            options,
            lock_wait_timeout: or_default(
                self.parsed_key(&keys.lock_wait_timeout, parse_wait)?,
                LOCK_WAIT_TIMEOUT_DEFAULT,
            ),
        })
    }
}

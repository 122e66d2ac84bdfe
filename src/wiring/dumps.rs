//! The sources of database backups, by the form that is wanted.

use crate::cancel::Cancel;
use crate::operations::OperationError;
use crate::postgres::{DumpOptions, Server};
use crate::source::{
    CustomDumpSource, DirectoryDump, DirectoryDumpSource, GlobalsSource, PgDumpSource, Source,
};

/// Starts the dump of `database`; its warnings come beside it.
pub fn dump_source(
    server: &Server,
    database: &str,
    options: &DumpOptions,
    form: &DumpForm,
    cancel: &Cancel,
) -> Result<(Box<dyn Source>, Vec<String>), OperationError> {
    let cancel = cancel.clone();
    match form {
        DumpForm::Plain => {
            let source = PgDumpSource::start(server, database, options, cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
        DumpForm::Custom => {
            let source = CustomDumpSource::start(server, database, options, cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
        DumpForm::Globals { role } => {
            let source = GlobalsSource::start(server, database, role.as_deref(), cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
        DumpForm::Directory(directory) => {
            let source = DirectoryDumpSource::make(server, database, options, directory, cancel)?;
            let warnings = source.warnings().to_vec();
            Ok((Box::new(source), warnings))
        }
    }
}

/// The form of a dump, with what it needs.
pub enum DumpForm {
    Plain,
    /// What all databases share, as seen from `database`; the role to take.
    Globals {
        role: Option<String>,
    },
    Custom,
    Directory(DirectoryDump),
}

//! How a setting is looked up in each layer: a flag, a variable, a key of the
//! file. Every value carries the place it was written at, also into errors.

use std::path::{Path, PathBuf};

use super::file::{Entry, Keys};
use super::{ConfigError, ConfigFile, Environment, Origin, Sourced};

/// A value, if the layer has it; an error if it has nonsense there.
pub type Setting<T> = Result<Option<Sourced<T>>, ConfigError>;

pub fn flag<T>(name: &'static str, value: Option<T>) -> Option<Sourced<T>> {
    value.map(|value| Sourced::new(value, Origin::Flag(name)))
}

/// A flag that can only be given or not.
pub fn switch(name: &'static str, given: bool, value: bool) -> Option<Sourced<bool>> {
    flag(name, given.then_some(value))
}

pub fn or_default<T>(value: Option<Sourced<T>>, default: T) -> Sourced<T> {
    value.unwrap_or_else(|| Sourced::default(default))
}

pub fn wrong(origin: &Origin, what: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        origin: origin.clone(),
        what: what.into(),
    }
}

fn parse_text<T, E: ToString>(
    text: Sourced<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Sourced<T>, ConfigError> {
    match parse(&text.value) {
        Ok(value) => Ok(Sourced::new(value, text.origin)),
        Err(error) => {
            let what = format!("{:?}: {}", text.value, error.to_string());
            Err(wrong(&text.origin, what))
        }
    }
}

/// A list that flags add to instead of replacing it.
pub fn joined<T>(
    name: &'static str,
    given: Vec<T>,
    below: Option<Sourced<Vec<T>>>,
) -> Sourced<Vec<T>> {
    let mut list = or_default(below, Vec::new());
    if !given.is_empty() {
        list.origin = Origin::Flag(name);
        list.value.extend(given);
    }
    list
}

/// The layers below the flags.
pub struct Layers<'a> {
    pub environment: &'a Environment,
    pub file: Option<&'a ConfigFile>,
    pub keys: &'a Keys,
}

impl Layers<'_> {
    pub fn key<T: Clone>(&self, entry: &Entry<T>) -> Option<Sourced<T>> {
        let (file, value) = self.file.zip(entry.as_ref())?;
        let origin = Origin::File {
            path: file.path.clone(),
            line: file.line(value),
        };
        Some(Sourced::new(value.get_ref().clone(), origin))
    }

    pub fn parsed_key<T, E: ToString>(
        &self,
        entry: &Entry<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Setting<T> {
        self.key(entry)
            .map(|text| parse_text(text, parse))
            .transpose()
    }

    /// A path in the file is relative to the file.
    pub fn path_key(&self, entry: &Entry<PathBuf>) -> Option<Sourced<PathBuf>> {
        let path = self.key(entry)?;
        Some(Sourced::new(self.beside_file(&path.value), path.origin))
    }

    pub fn paths_key(&self, entry: &Entry<Vec<PathBuf>>) -> Option<Sourced<Vec<PathBuf>>> {
        let paths = self.key(entry)?;
        let absolute = paths.value.iter().map(|path| self.beside_file(path));
        Some(Sourced::new(absolute.collect(), paths.origin))
    }

    fn beside_file(&self, path: &Path) -> PathBuf {
        let directory = self.file.and_then(|file| file.path.parent());
        directory.map_or_else(|| path.to_owned(), |directory| directory.join(path))
    }

    pub fn variable(&self, name: &'static str) -> Setting<String> {
        let text = self.environment.text(name)?;
        Ok(text.map(|text| Sourced::new(text.to_owned(), self.environment.origin(name))))
    }

    pub fn parsed_variable<T, E: ToString>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Setting<T> {
        self.variable(name)?
            .map(|text| parse_text(text, parse))
            .transpose()
    }

    pub fn path_variable(&self, name: &'static str) -> Option<Sourced<PathBuf>> {
        let path = self.environment.get(name)?;
        Some(Sourced::new(
            PathBuf::from(path),
            self.environment.origin(name),
        ))
    }
}

//! What a container's environment says of its server: the names that the images of
//! PostgreSQL, Bitnami and Red Hat know, and the files that they name.
//!
//! Refuses to guess: where a name is said and cannot be known, it is an error for
//! whoever needs it, not a default.

use zeroize::Zeroizing;

use super::DockerError;

const DATABASE: Names = &["POSTGRES_DB", "POSTGRESQL_DATABASE", "POSTGRES_DATABASE"];
const USER: Names = &["POSTGRES_USER", "POSTGRESQL_USERNAME", "POSTGRESQL_USER"];
const PASSWORD: Names = &["POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD"];

/// What all of them take where they are told nothing.
const DEFAULT: &str = "postgres";

/// Variables that mean the same. With `_FILE` behind it, one names a file.
type Names = &'static [&'static str];

/// As the container was started with it, and the content of the files.
#[derive(Clone)]
pub(super) struct ContainerEnvironment {
    variables: Vec<(String, String)>,
    database: Said,
    user: Said,
    password: Option<Zeroizing<String>>,
}

/// A name, or why it cannot be known; `None`: nothing is said.
type Said = Result<Option<String>, String>;

impl ContainerEnvironment {
    /// `read` gives the content of a file in the container.
    pub fn new(
        variables: Vec<(String, String)>,
        read: impl Fn(&str) -> Result<String, String>,
    ) -> Self {
        let mut environment = Self {
            variables,
            database: Ok(None),
            user: Ok(None),
            password: None,
        };
        environment.database = environment.said(DATABASE, &read);
        environment.user = environment.said(USER, &read);
        // Where it is not known, the server may want none.
        let password = environment.said(PASSWORD, &read).ok().flatten();
        environment.password = password.map(Zeroizing::new);
        environment
    }

    /// Empty ones are as if they were not there: so the images take them.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn said(&self, names: Names, read: &impl Fn(&str) -> Result<String, String>) -> Said {
        let mut found: Option<(String, String)> = None;
        for name in names {
            let file = format!("{name}_FILE");
            let told = match (self.variable(name), self.variable(&file)) {
                (Some(value), _) => ((*name).to_owned(), value.to_owned()),
                (None, Some(path)) => {
                    let content = read(path).map_err(|why| format!("{file}={path}: {why}"))?;
                    (file, content.trim_end_matches('\n').to_owned())
                }
                (None, None) => continue,
            };
            match &found {
                Some((other, value)) if *value != told.1 => {
                    return Err(format!("{other} and {} say different things", told.0));
                }
                _ => found = Some(told),
            }
        }
        Ok(found
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty()))
    }

    /// The database that the container was made for.
    pub fn database(&self) -> Result<&str, DockerError> {
        if let Some(name) = known(&self.database, "database", "container_database")? {
            return Ok(name);
        }
        // Bitnami's images do not call it as its user.
        let as_user = self.variable("POSTGRESQL_USERNAME").is_none();
        Ok(if as_user { self.user()? } else { DEFAULT })
    }

    pub fn names_database(&self) -> bool {
        !matches!(self.database, Ok(None))
    }

    pub fn user(&self) -> Result<&str, DockerError> {
        let user = known(&self.user, "user", "container_user")?;
        Ok(user.unwrap_or(DEFAULT))
    }

    /// Of its own user.
    pub fn password(&self) -> Option<&Zeroizing<String>> {
        self.password.as_ref()
    }
}

fn known<'a>(
    said: &'a Said,
    what: &'static str,
    key: &'static str,
) -> Result<Option<&'a str>, DockerError> {
    match said {
        Ok(name) => Ok(name.as_deref()),
        Err(why) => Err(DockerError::NotKnown {
            what,
            why: why.clone(),
            key,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerEnvironment;

    fn environment(variables: &[(&str, &str)]) -> ContainerEnvironment {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ContainerEnvironment::new(variables.iter().map(owned).collect(), |path| match path {
            "/run/secrets/db" => Ok("shop\n".to_owned()),
            "/run/secrets/user" => Ok("ann\n".to_owned()),
            _ => Err("no such file".to_owned()),
        })
    }

    #[test]
    fn database_and_user_are_those_that_the_container_was_made_with() {
        for (variables, database, user) in [
            (&[][..], "postgres", "postgres"),
            (&[("POSTGRES_USER", "ann")], "ann", "ann"),
            (
                &[("POSTGRES_USER", "ann"), ("POSTGRES_DB", "shop")],
                "shop",
                "ann",
            ),
            (
                &[("POSTGRES_DB_FILE", "/run/secrets/db")],
                "shop",
                "postgres",
            ),
            (&[("POSTGRES_USER_FILE", "/run/secrets/user")], "ann", "ann"),
            (
                &[("POSTGRESQL_DATABASE", "shop"), ("POSTGRESQL_USER", "ann")],
                "shop",
                "ann",
            ),
            (&[("POSTGRESQL_USERNAME", "ann")], "postgres", "ann"),
            (
                &[("POSTGRES_DB", ""), ("POSTGRESQL_DATABASE", "shop")],
                "shop",
                "postgres",
            ),
        ] {
            let found = environment(variables);
            let found = (found.database().unwrap(), found.user().unwrap());
            assert_eq!(found, (database, user), "{variables:?}");
        }
    }

    #[test]
    fn a_name_that_is_said_and_not_known_is_no_default() {
        for variables in [
            &[("POSTGRES_DB_FILE", "/gone")][..],
            &[("POSTGRES_USER_FILE", "/gone")],
            &[("POSTGRES_DB", "a"), ("POSTGRESQL_DATABASE", "b")],
        ] {
            let error = environment(variables).database().unwrap_err().to_string();
            assert!(error.contains("database.container_"), "{error}");
        }
        let named = [("POSTGRES_DB_FILE", "/gone"), ("POSTGRES_USER", "ann")];
        assert_eq!(environment(&named).user().unwrap(), "ann");
    }
}

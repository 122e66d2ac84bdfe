//! How to reach a server: a URL, or libpq's variables. Pure: the environment
//! is handed in as a map.
//!
//! Everything goes to the clients by libpq's own variables, so nothing here
//! ever stands in an argument. What libpq reads itself (service, passfile,
//! certificates) is passed through, not interpreted.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::PostgresError;

/// A libpq URL parameter and the variable that means the same.
const PARAMETERS: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("service", "PGSERVICE"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcertmode", "PGSSLCERTMODE"),
    ("sslcompression", "PGSSLCOMPRESSION"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("user", "PGUSER"),
];

/// libpq variables without a URL parameter.
const OTHER_VARIABLES: &[&str] = &["PGSERVICEFILE", "PGSYSCONFDIR"];

/// Says where a server is and who asks. Its `Debug` shows no password.
#[derive(Clone, Default)]
pub struct ConnectionSettings {
    /// libpq's variables but the password.
    variables: BTreeMap<String, String>,
    password: Option<Zeroizing<String>>,
    /// URL parameters that libpq does not know, such as Prisma's `schema`.
    ignored: Vec<String>,
}

impl ConnectionSettings {
    /// libpq's variables out of `environment`, and nothing else of it.
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let mut settings = Self::default();
        for variable in Self::known_variables() {
            if let Some(value) = environment.get(variable).filter(|v| !v.is_empty()) {
                settings.set(variable, value.clone());
            }
        }
        settings
    }

    /// `postgres://user:password@host:port/database?sslmode=...`, also with a
    /// percent-encoded socket directory as host or `?host=/directory`. What it
    /// does not say comes from `environment`.
    pub fn from_url(
        url: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, PostgresError> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or_else(|| unusable("a database URL begins with postgres:// or postgresql://"))?;
        let mut settings = Self::from_environment(environment);
        // libpq lets a service and an address win over a host; here the URL does.
        for variable in ["PGSERVICE", "PGHOSTADDR"] {
            settings.variables.remove(variable);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        for (variable, text) in [
            ("PGUSER", user),
            ("PGPASSWORD", password),
            ("PGDATABASE", database),
        ] {
            if !text.is_empty() {
                settings.set(variable, percent_decoded(text)?);
            }
        }
        settings.set_hosts(hosts)?;
        settings.set_query(query)?;
        Ok(settings)
    }

    /// One or several `host:port`, separated by commas, as libpq takes them.
    fn set_hosts(&mut self, hosts: &str) -> Result<(), PostgresError> {
        if hosts.is_empty() {
            return Ok(());
        }
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = split_port(host)?;
            names.push(percent_decoded(name)?);
            ports.push(port);
        }
        if names.iter().any(|name| !name.is_empty()) {
            self.set("PGHOST", names.join(","));
        }
        if ports.iter().any(|port| !port.is_empty()) {
            self.set("PGPORT", ports.join(","));
        }
        Ok(())
    }

    fn set_query(&mut self, query: &str) -> Result<(), PostgresError> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (percent_decoded(name)?, percent_decoded(value)?);
            match PARAMETERS.iter().find(|(known, _)| *known == name) {
                Some((_, variable)) => self.set(variable, value),
                None => self.ignored.push(name),
            }
        }
        Ok(())
    }

    fn set(&mut self, variable: &str, value: String) {
        if variable == "PGPASSWORD" {
            self.password = Some(Zeroizing::new(value));
        } else {
            self.variables.insert(variable.to_owned(), value);
        }
    }

    /// The database named by the URL or PGDATABASE.
    pub fn database(&self) -> Option<&str> {
        self.variables.get("PGDATABASE").map(String::as_str)
    }

    /// URL parameters that were left out because libpq does not know them.
    pub fn ignored_parameters(&self) -> &[String] {
        &self.ignored
    }

    /// Whether the server runs on this machine, as far as its address tells.
    pub(super) fn is_local(&self) -> bool {
        let get = |name: &str| self.variables.get(name).map(String::as_str);
        let host = get("PGHOSTADDR").or(get("PGHOST")).unwrap_or("/");
        let is_local =
            |host: &str| host.starts_with('/') || ["localhost", "127.0.0.1", "::1"].contains(&host);
        get("PGSERVICE").is_none() && is_local(host)
    }

    /// Host and port for messages.
    pub fn place(&self) -> String {
        if let Some(service) = self.variables.get("PGSERVICE") {
            return format!("service {service}");
        }
        let get = |name: &str| self.variables.get(name).map(String::as_str);
        let port = get("PGPORT").unwrap_or("5432");
        match get("PGHOST") {
            Some(host) => format!("{host}:{port}"),
            None => format!("the local socket, port {port}"),
        }
    }

    /// Every variable that a connection can depend on.
    pub(super) fn known_variables() -> impl Iterator<Item = &'static str> {
        let with_parameter = PARAMETERS.iter().map(|(_, variable)| *variable);
        with_parameter.chain(OTHER_VARIABLES.iter().copied())
    }

    pub(super) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    pub(super) fn password(&self) -> Option<&Zeroizing<String>> {
        self.password.as_ref()
    }
}

impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("variables", &self.variables)
            .field("password", &self.password.as_ref().map(|_| "****"))
            .finish_non_exhaustive()
    }
}

/// Messages about a URL never repeat it: it may hold a password.
fn unusable(what: impl Into<String>) -> PostgresError {
    PostgresError::Settings { what: what.into() }
}

/// `[::1]:5432` has its address in brackets, which libpq does not want.
fn split_port(host: &str) -> Result<(&str, &str), PostgresError> {
    let (name, port) = if let Some(inner) = host.strip_prefix('[') {
        let (address, after) = inner
            .split_once(']')
            .ok_or_else(|| unusable("an IPv6 address in the URL lacks its closing bracket"))?;
        (address, after.strip_prefix(':').unwrap_or(after))
    } else {
        host.rsplit_once(':').unwrap_or((host, ""))
    };
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Err(unusable(
            "the port in the URL is not a number from 0 to 65535 (a special character in the \
             password must be percent-encoded)",
        ));
    }
    Ok((name, port))
}

fn percent_decoded(text: &str) -> Result<String, PostgresError> {
    let wrong = || unusable("a % in the URL must be followed by two hex digits (%25 means %)");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let pair = [
            bytes.next().ok_or_else(wrong)?,
            bytes.next().ok_or_else(wrong)?,
        ];
        let mut value = [0];
        hex::decode_to_slice(pair, &mut value).map_err(|_| wrong())?;
        decoded.push(value[0]);
    }
    if decoded.contains(&0) {
        return Err(unusable("%00 in the URL: PostgreSQL knows no NUL bytes"));
    }
    String::from_utf8(decoded).map_err(|_| unusable("the URL does not decode to UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::ConnectionSettings;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn parsed(url: &str) -> ConnectionSettings {
        ConnectionSettings::from_url(url, &BTreeMap::new()).unwrap()
    }

    fn variable<'a>(settings: &'a ConnectionSettings, name: &str) -> Option<&'a str> {
        settings.variables().get(name).map(String::as_str)
    }

    #[test]
    fn a_url_gives_each_part_decoded() {
        let settings = parsed("postgres://ann:p%40s%2Fs@db.example:5433/my%20db?sslmode=require");
        assert_eq!(variable(&settings, "PGUSER"), Some("ann"));
        assert_eq!(settings.password().unwrap().as_str(), "p@s/s");
        assert_eq!(variable(&settings, "PGHOST"), Some("db.example"));
        assert_eq!(variable(&settings, "PGPORT"), Some("5433"));
        assert_eq!(settings.database(), Some("my db"));
        assert_eq!(variable(&settings, "PGSSLMODE"), Some("require"));
    }

    #[test]
    fn a_socket_directory_is_a_host_in_either_spelling() {
        for url in ["postgresql://%2Frun%2Fpg/x", "postgresql:///x?host=/run/pg"] {
            assert_eq!(variable(&parsed(url), "PGHOST"), Some("/run/pg"), "{url}");
        }
    }

    #[test]
    fn an_at_sign_in_the_password_belongs_to_the_password() {
        let settings = parsed("postgres://u:a@b@host/x");
        assert_eq!(settings.password().unwrap().as_str(), "a@b");
        assert_eq!(variable(&settings, "PGHOST"), Some("host"));
    }

    #[test]
    fn ipv6_and_several_hosts_are_kept() {
        let settings = parsed("postgres://[::1]:5433,other:5434/x");
        assert_eq!(variable(&settings, "PGHOST"), Some("::1,other"));
        assert_eq!(variable(&settings, "PGPORT"), Some("5433,5434"));
    }

    #[test]
    fn the_url_wins_and_the_environment_fills_the_gaps() {
        let environment = environment(&[
            ("PGUSER", "env"),
            ("PGPASSWORD", "secret"),
            ("PGSERVICE", "other"),
            ("HOME", "/root"),
        ]);
        let settings = ConnectionSettings::from_url("postgres://url@h/x", &environment).unwrap();
        assert_eq!(variable(&settings, "PGUSER"), Some("url"));
        assert_eq!(settings.password().unwrap().as_str(), "secret");
        assert_eq!(variable(&settings, "PGSERVICE"), None);
        assert_eq!(variable(&settings, "HOME"), None);
    }

    #[test]
    fn parameters_of_other_drivers_are_told_and_left_out() {
        let settings = parsed("postgres://h/x?schema=public&connection_limit=5");
        assert_eq!(
            settings.ignored_parameters(),
            ["schema", "connection_limit"]
        );
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_the_password() {
        for url in [
            "mysql://u:hunter2@h/x",
            "postgres://u:hunter2%4@h/x",
            "postgres://u:hunter2%00@h/x",
            "postgres://u:hunter2@h:port/x",
            "postgres://u:hunter2@[::1/x",
        ] {
            let error = ConnectionSettings::from_url(url, &BTreeMap::new()).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", parsed("postgres://u:hunter2@h/x"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

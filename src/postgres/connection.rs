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
use super::sql::quote_conninfo;
use crate::series::Place;

/// A libpq URL parameter and the variable that means the same.
const PARAMETERS: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("gssdelegation", "PGGSSDELEGATION"),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", "PGGSSLIB"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION"),
    ("min_protocol_version", "PGMINPROTOCOLVERSION"),
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

/// Parameters without a variable: they go to the clients as arguments, which every
/// user of the machine can read. None of them is a secret.
const WITHOUT_VARIABLE: &[&str] = &[
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
];

/// Secrets without a variable: for them there is no way to the clients but a file.
const SECRETS_WITHOUT_VARIABLE: &[&str] = &[
    "oauth_client_secret",
    "scram_client_key",
    "scram_server_key",
    "sslpassword",
];

/// What other drivers take out of the same URL, and what we say ourselves: nothing
/// of it changes how safe a connection is, or where it leads.
const OF_OTHERS: &[&str] = &[
    "client_encoding",
    "connection_limit",
    "fallback_application_name",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "socket_timeout",
    "statement_cache_size",
];

/// libpq variables without a URL parameter.
const OTHER_VARIABLES: &[&str] = &["PGSERVICEFILE", "PGSYSCONFDIR"];

/// Says where a server is and who asks. Its `Debug` shows no password.
#[derive(Clone, Default)]
pub struct ConnectionSettings {
    /// libpq's variables but the password.
    variables: BTreeMap<String, String>,
    password: Option<Zeroizing<String>>,
    /// URL parameters of other drivers, such as Prisma's `schema`.
    ignored: Vec<String>,
    /// Of [`WITHOUT_VARIABLE`].
    arguments: Vec<(String, String)>,
    /// The URL's, which no service or variable goes before.
    url_database: Option<String>,
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
        let of_environment = settings.variables.remove("PGDATABASE");
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
        settings.url_database = settings.variables.get("PGDATABASE").cloned();
        if let (None, Some(database)) = (&settings.url_database, of_environment) {
            settings.set("PGDATABASE", database);
        }
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
            self.set_parameter(name, value)?;
        }
        Ok(())
    }

    /// One that nobody knows is an error, as in psql: it may be a mistyped `sslmode`.
    fn set_parameter(&mut self, name: String, value: String) -> Result<(), PostgresError> {
        let known = PARAMETERS.iter().find(|(known, _)| *known == name);
        let is_in = |list: &[&str]| list.contains(&name.as_str());
        match known {
            Some((_, variable)) => self.set(variable, value),
            // As libpq reads it, for the sake of JDBC.
            None if name == "ssl" && value == "true" => self.set("PGSSLMODE", "require".to_owned()),
            None if is_in(WITHOUT_VARIABLE) => self.arguments.push((name, value)),
            None if is_in(OF_OTHERS) => self.ignored.push(name),
            None if is_in(SECRETS_WITHOUT_VARIABLE) => {
                return Err(unusable(format!(
                    "{name} cannot be handed to the client programs by a URL; write the \
                     connection into a service file, and say PGSERVICE and PGSERVICEFILE"
                )));
            }
            None => {
                return Err(unusable(format!(
                    "the URL's parameter {name:?} is none that libpq knows with such a value"
                )));
            }
        }
        Ok(())
    }

    /// What a client is told as its argument `--dbname`; a text of ours, so that no
    /// database's name is taken for one. `None`: nothing.
    pub(super) fn argument(&self, database: Option<&str>) -> Option<String> {
        let database = database.map(|name| ("dbname", name));
        let others = self.arguments.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let pairs = database.into_iter().chain(others);
        let texts: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={}", quote_conninfo(value)))
            .collect();
        (!texts.is_empty()).then(|| format!("--dbname={}", texts.join(" ")))
    }

    /// The same way to the server for another role. `None`: a service says who logs
    /// in, and would win.
    pub(super) fn as_role(&self, role: &str, password: Zeroizing<String>) -> Option<Self> {
        let mut settings = self.clone();
        settings.set("PGUSER", role.to_owned());
        settings.password = Some(password);
        (!settings.variables.contains_key("PGSERVICE")).then_some(settings)
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

    /// The one that is named by the URL. Without one libpq is left to take its own:
    /// of a service, of PGDATABASE, or the user's name.
    pub fn url_database(&self) -> Option<&str> {
        self.url_database.as_deref()
    }

    /// The database that libpq takes for this user where the URL names none;
    /// `None` where a service may name one.
    pub(super) fn taken_database(&self, user: &str) -> Option<String> {
        let is_known = !self.variables.contains_key("PGSERVICE");
        is_known.then(|| self.database().unwrap_or(user).to_owned())
    }

    /// URL parameters that were left out: they are for another driver.
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

    /// Whether the way leads over a network and nothing says that it must be
    /// encrypted: libpq then takes TLS if it is offered, and goes without if
    /// somebody on the way says that it is not. `sslmode=disable` says that this
    /// is meant; of a service only its file knows.
    pub(super) fn may_go_in_clear(&self) -> bool {
        let get = |name: &str| self.variables.get(name).map(String::as_str);
        let unsure = matches!(get("PGSSLMODE"), None | Some("" | "allow" | "prefer"));
        let tickets = get("PGGSSENCMODE") == Some("require");
        unsure && !tickets && get("PGSERVICE").is_none() && !self.is_local()
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

    /// Where the server is, as it was configured.
    pub fn configured_place(&self) -> Place<'_> {
        let get = |name: &str| self.variables.get(name).map(String::as_str);
        match get("PGSERVICE") {
            Some(service) => Place::Service(service),
            None => Place::Hosts {
                hosts: get("PGHOST").or(get("PGHOSTADDR")),
                ports: get("PGPORT").unwrap_or("5432"),
            },
        }
    }

    /// Every variable that a connection can depend on.
    fn known_variables() -> impl Iterator<Item = &'static str> {
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
    fn only_a_way_over_the_network_without_a_word_on_tls_may_go_in_clear() {
        for (url, clear) in [
            ("postgres://db.example/x", true),
            ("postgres://db.example/x?sslmode=prefer", true),
            ("postgres://db.example/x?sslmode=require", false),
            ("postgres://db.example/x?sslmode=verify-full", false),
            ("postgres://db.example/x?sslmode=disable", false),
            ("postgres://127.0.0.1/x", false),
            ("postgres:///x?host=/run/pg", false),
            ("postgres:///x?service=prod", false),
        ] {
            assert_eq!(parsed(url).may_go_in_clear(), clear, "{url}");
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
    fn a_parameter_that_nobody_knows_is_an_error_as_in_psql() {
        for query in [
            "sslmod=require",
            "ssl=1",
            "ssl=false",
            "sslaccept=strict",
            "Sslmode=x",
            "x",
        ] {
            let url = format!("postgres://h/x?{query}");
            assert!(
                ConnectionSettings::from_url(&url, &BTreeMap::new()).is_err(),
                "{query}"
            );
        }
        let settings = parsed("postgres://h/x?ssl=true");
        assert_eq!(variable(&settings, "PGSSLMODE"), Some("require"));
    }

    #[test]
    fn a_parameter_without_a_variable_is_handed_on_or_refused() {
        let settings = parsed("postgres://h/a'b?keepalives_idle=30");
        let told = "--dbname=dbname='a\\'b' keepalives_idle='30'";
        assert_eq!(
            settings.argument(settings.database()).as_deref(),
            Some(told)
        );
        assert_eq!(parsed("postgres://h/x").argument(None), None);
        let url = "postgres://h/x?sslpassword=hunter2";
        let error = ConnectionSettings::from_url(url, &BTreeMap::new()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("PGSERVICEFILE") && !error.contains("hunter2"),
            "{error}"
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

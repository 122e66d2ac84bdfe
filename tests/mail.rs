//! Mail, against a real SMTP server on loopback.

use std::net::TcpListener;
use std::time::Duration;

use kluis::event::EventKind;
use kluis::notify::{Email, EmailAccount, EmailTls, Notice, Notifier, NotifyError, Occasion, Sent};
use kluis::render::test_wording;
use kluis::secrets::SecretText;
use serde_json::{Value, json};

use crate::support::programs;
use crate::support::receivers::{Certificates, PythonServer, event, notice, patience, python_has};

const PASSWORD: &str = "c4n4ry-passw0rd";
const LONG: Duration = Duration::from_secs(30);

struct Mail {
    certificates: Certificates,
    server: PythonServer,
    tls: EmailTls,
}

impl Mail {
    /// A server with this way of TLS; `login`: it wants the user and PASSWORD.
    fn start(tls: EmailTls, login: bool) -> Option<Self> {
        if !programs::are_here(&["openssl"]) || !python_has("aiosmtpd") {
            return None;
        }
        let certificates = Certificates::make();
        let way = match tls {
            EmailTls::None => "none",
            EmailTls::StartTls => "starttls",
            EmailTls::Implicit => "implicit",
        };
        let login: &[&str] = if login { &["user", PASSWORD] } else { &[] };
        let server = PythonServer::start(&["smtp", way], &certificates, login);
        Some(Self {
            certificates,
            server,
            tls,
        })
    }

    fn email(&self, password: Option<&str>, to: &[&str]) -> Email {
        let ca_file = self.certificates.path("ca.pem");
        let to: Vec<String> = to.iter().map(|&one| one.to_owned()).collect();
        let from = "kluis <kluis@example.org>";
        Email::new(
            account(self.server.port, self.tls, password),
            from,
            &to,
            Some(&ca_file),
        )
        .unwrap()
    }
}

fn account(port: u16, tls: EmailTls, password: Option<&str>) -> EmailAccount {
    EmailAccount {
        host: "localhost".to_owned(),
        port,
        tls,
        login: password.map(|password| ("user".to_owned(), SecretText::new(password))),
        own_host: "db1".to_owned(),
    }
}

fn send(email: &Email, notice: &Notice) -> Result<Sent, NotifyError> {
    let result = email.send(notice, &patience(LONG));
    let told = format!("{result:?}");
    assert!(!told.contains(PASSWORD), "{told}");
    result
}

fn failed(name: &str) -> Notice {
    notice(&[event(EventKind::BackupFailed, name)])
}

fn header<'a>(mail: &'a Value, wanted: &str) -> &'a str {
    let headers = mail["headers"].as_array().unwrap();
    let mut found = headers.iter().filter(|header| header[0] == wanted);
    let value = found
        .next()
        .unwrap_or_else(|| panic!("no {wanted} in {mail:#}"));
    assert!(found.next().is_none(), "two of {wanted} in {mail:#}");
    value[1].as_str().unwrap()
}

#[test]
fn a_mail_comes_through_starttls_with_a_password() {
    let Some(mail) = Mail::start(EmailTls::StartTls, true) else {
        return;
    };
    let to = ["ops@example.org", "Anna Ö <anna@example.org>"];
    let notice = failed("größe");
    let sent = send(&mail.email(Some(PASSWORD), &to), &notice).unwrap();
    assert_eq!(sent.what, "1 mail to 2");
    assert!(sent.answer.starts_with("250"), "{}", sent.answer);
    for address in ["ops@example.org", "anna@example.org"] {
        let taken = mail.server.next();
        assert_eq!(taken["to"], json!([address]));
        assert_eq!(
            (&taken["tls"], &taken["user"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(
            header(&taken, "Subject"),
            "kluis on db1: backup of größe FAILED"
        );
        assert_eq!(
            header(&taken, "To"),
            "ops@example.org, Anna Ö <anna@example.org>"
        );
        assert_eq!(header(&taken, "From"), "kluis <kluis@example.org>");
        assert_eq!(header(&taken, "Auto-Submitted"), "auto-generated");
        assert!(header(&taken, "Message-ID").ends_with("@db1>"));
        header(&taken, "Date");
        let body = taken["body"].as_str().unwrap().replace("\r\n", "\n");
        assert_eq!(body.trim_end(), notice.text.plain().trim_end());
    }
}

#[test]
fn a_mail_comes_through_implicit_tls() {
    let Some(mail) = Mail::start(EmailTls::Implicit, true) else {
        return;
    };
    let notice = Notice {
        occasion: Occasion::Test,
        text: test_wording("db1"),
        events: Vec::new(),
    };
    send(&mail.email(Some(PASSWORD), &["ops@example.org"]), &notice).unwrap();
    let taken = mail.server.next();
    assert_eq!(header(&taken, "Subject"), "kluis on db1: a test message");
    assert_eq!(taken["tls"], json!(true));
}

#[test]
fn a_wrong_password_is_a_refusal_that_tells_neither() {
    let Some(mail) = Mail::start(EmailTls::StartTls, true) else {
        return;
    };
    let wrong = format!("{PASSWORD}-wrong");
    match send(
        &mail.email(Some(&wrong), &["ops@example.org"]),
        &failed("shop"),
    ) {
        Err(NotifyError::Refused(why)) => assert!(why.contains("535"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(mail.server.so_far().len(), 0);
}

#[test]
fn one_recipient_who_is_refused_keeps_the_mail_from_no_other() {
    let Some(mail) = Mail::start(EmailTls::None, false) else {
        return;
    };
    let to = [
        "refused@example.org",
        "later@example.org",
        "ops@example.org",
    ];
    let why = send(&mail.email(None, &to), &failed("shop"))
        .unwrap_err()
        .to_string();
    assert!(
        why.contains("to refused@example.org") && why.contains("550"),
        "{why}"
    );
    assert!(
        why.contains("to later@example.org") && why.contains("451"),
        "{why}"
    );
    assert!(!why.contains("ops@"), "{why}");
    assert_eq!(mail.server.next()["to"], json!(["ops@example.org"]));
    assert_eq!(mail.server.so_far().len(), 0);
}

#[test]
fn a_name_with_newlines_makes_no_header_and_no_recipient() {
    let Some(mail) = Mail::start(EmailTls::None, false) else {
        return;
    };
    let names = [
        "x\nBcc: all@example.org",
        "x\r\nBcc: all@example.org\r\n\r\nanother body",
        "x\r\n.\r\nMAIL FROM:<evil@example.org>",
        "ü\nBcc: all@example.org",
        &format!("{}\r\nBcc: all@example.org", "long ".repeat(60)),
    ];
    for name in names {
        send(&mail.email(None, &["ops@example.org"]), &failed(name)).unwrap();
        let taken = mail.server.next();
        assert_eq!(taken["to"], json!(["ops@example.org"]), "{name:?}");
        assert_eq!(taken["from"], "kluis@example.org", "{name:?}");
        let headers = taken["headers"].as_array().unwrap();
        let known = [
            "To",
            "From",
            "Subject",
            "Message-ID",
            "Auto-Submitted",
            "Content-Type",
            "Content-Transfer-Encoding",
            "Date",
            "MIME-Version",
        ];
        let odd = headers
            .iter()
            .find(|it| !known.contains(&it[0].as_str().unwrap()));
        assert!(odd.is_none(), "{name:?}: {odd:?}");
        assert!(
            taken["body"].as_str().unwrap().contains("the disk is full"),
            "{taken:#}"
        );
    }
    assert_eq!(mail.server.so_far().len(), 0);
}

#[test]
fn nothing_is_said_in_the_clear_where_tls_is_wanted() {
    let Some(mail) = Mail::start(EmailTls::None, false) else {
        return;
    };
    let ca_file = mail.certificates.path("ca.pem");
    let to = ["ops@example.org".to_owned()];
    for tls in [EmailTls::StartTls, EmailTls::Implicit] {
        // Without a password, so that nothing but TLS keeps the mail back.
        let account = account(mail.server.port, tls, None);
        let email = Email::new(account, "k@example.org", &to, Some(&ca_file)).unwrap();
        assert!(
            email
                .send(&failed("shop"), &patience(Duration::from_secs(2)))
                .is_err()
        );
    }
    assert_eq!(mail.server.so_far().len(), 0);
}

#[test]
fn a_server_is_not_believed_whose_ca_nobody_named() {
    let Some(mail) = Mail::start(EmailTls::StartTls, false) else {
        return;
    };
    let to = ["ops@example.org".to_owned()];
    let account = account(mail.server.port, EmailTls::StartTls, None);
    let email = Email::new(account, "k@example.org", &to, None).unwrap();
    let why = send(&email, &failed("shop")).unwrap_err().to_string();
    assert!(why.contains("ca_file"), "{why}");
    assert_eq!(mail.server.so_far().len(), 0);
}

#[test]
fn a_server_that_says_nothing_is_waited_for_no_longer_than_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let to = ["ops@example.org".to_owned()];
    let mut account = account(port, EmailTls::None, None);
    account.host = "127.0.0.1".to_owned();
    let email = Email::new(account, "k@example.org", &to, None).unwrap();
    let limit = Duration::from_millis(200);
    let why = email.send(&failed("shop"), &patience(limit)).unwrap_err();
    assert!(why.to_string().contains("no answer"), "{why}");
}

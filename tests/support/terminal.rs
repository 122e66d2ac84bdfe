//! Somebody at a terminal: kluis with answers typed to it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::home::Home;

/// The exit code, and all that stood on the terminal. `script` makes the terminal.
pub fn typed(home: &Home, arguments: &[&str], answers: &str) -> (i32, String) {
    let kluis = home.kluis(arguments);
    let words: Vec<_> = [kluis.get_program()]
        .into_iter()
        .chain(kluis.get_args())
        .collect();
    let words = words.into_iter().map(|word| word.to_str().unwrap());
    let line = shlex::try_join(words).unwrap();
    let mut script = Command::new("script");
    script.env_clear().args(["-qec", &line, "/dev/null"]);
    for (name, value) in kluis.get_envs() {
        script.envs(value.map(|value| (name, value)));
    }
    script.current_dir(kluis.get_current_dir().unwrap());
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let said = anstream::adapter::strip_str(&String::from_utf8_lossy(&output.stdout)).to_string();
    (output.status.code().unwrap(), said.replace("\r\n", "\n"))
}

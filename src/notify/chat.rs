//! Chats: Slack's, Discord's and Teams' incoming webhooks. All events of a run
//! are one message. What comes from outside, such as a database's name, is text
//! there and nothing else: it calls nobody and links nowhere.

use serde_json::{Value, json};

use super::http::{Call, JSON};
use super::{
    Endpoint, HttpClient, Notice, Notifier, NotifyError, Occasion, Patience, Sent, Wording,
};

/// Slack takes 150 characters in a header and 3,000 in a section; quoting makes
/// some longer.
const SLACK_TITLE_CHARS: usize = 150;
const SLACK_SECTION_CHARS: usize = 2_900;
/// Discord takes 256 and 4,096 in an embed.
const DISCORD_TITLE_CHARS: usize = 250;
const DISCORD_TEXT_CHARS: usize = 4_000;
/// A Teams message may have 28 KB in all.
const TEAMS_TEXT_CHARS: usize = 4_000;

const GREEN: u32 = 0x2e_a0_43;
const RED: u32 = 0xd1_24_2f;
const BLUE: u32 = 0x31_6d_ca;

/// Whose format it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatKind {
    Slack,
    Discord,
    /// An adaptive card, as a Teams workflow takes it.
    Teams,
}

impl ChatKind {
    pub const ALL: [Self; 3] = [Self::Slack, Self::Discord, Self::Teams];

    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
        }
    }

    fn body(self, notice: &Notice) -> Value {
        match self {
            Self::Slack => slack(&notice.text),
            Self::Discord => discord(notice),
            Self::Teams => teams(notice),
        }
    }
}

pub struct Chat {
    pub http: HttpClient,
    pub kind: ChatKind,
    pub endpoint: Endpoint,
}

impl Notifier for Chat {
    fn host(&self) -> &str {
        self.endpoint.host()
    }

    fn is_in_clear(&self) -> bool {
        self.endpoint.is_in_clear()
    }

    fn send(&self, notice: &Notice, patience: &Patience) -> Result<Sent, NotifyError> {
        let body = self.kind.body(notice).to_string();
        let call = Call {
            endpoint: &self.endpoint,
            headers: &[],
            body: Some((JSON, body.as_bytes())),
        };
        let answer = patience.tries(|limit| self.http.send(&call, limit))?;
        Ok(Sent {
            what: "1 message".to_owned(),
            answer,
        })
    }
}

/// Slack's blocks: <https://docs.slack.dev/reference/block-kit/blocks>. `text` is
/// what a phone's notification shows.
fn slack(text: &Wording) -> Value {
    let mut blocks = vec![json!({
        "type": "header",
        "text": {
            "type": "plain_text",
            "emoji": false,
            "text": cut(&text.title, SLACK_TITLE_CHARS),
        },
    })];
    let mut section = |written: String| {
        if !written.is_empty() {
            let written = cut(&written, SLACK_SECTION_CHARS);
            blocks.push(json!({
                "type": "section",
                "text": { "type": "mrkdwn", "text": written, "verbatim": true },
            }));
        }
    };
    section(slack_text(&text.lines.join("\n")));
    section(slack_text(&facts(text)));
    if !text.commands.is_empty() {
        let commands = slack_escaped(&in_block(&text.commands));
        section(format!(
            "```\n{}\n```",
            cut(&commands, SLACK_SECTION_CHARS - 10)
        ));
    }
    json!({ "text": slack_text(&text.title), "blocks": blocks })
}

/// Slack's three special characters: all that a block of code needs.
fn slack_escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

/// Commands for a block of code, where they can be copied from as they are. Only
/// what would end the block is changed.
fn in_block(commands: &[String]) -> String {
    commands.join("\n").replace("```", "'''")
}

/// The same, and what would make a word bold or code.
fn slack_text(text: &str) -> String {
    let text = slack_escaped(text);
    // A zero-width space behind them: Slack knows no escape.
    let marks = |text: String, mark: char| text.replace(mark, &format!("{mark}\u{200b}"));
    ['*', '_', '~'].into_iter().fold(text, marks)
}

/// Discord's embed: <https://docs.discord.com/developers/resources/message>.
fn discord(notice: &Notice) -> Value {
    let text = &notice.text;
    let mut written = discord_text(&text.lines.join("\n"));
    let facts = discord_text(&facts(text));
    if !facts.is_empty() {
        written.push_str(&format!("\n\n{facts}"));
    }
    let mut written = cut(&written, DISCORD_TEXT_CHARS - 1_000);
    if !text.commands.is_empty() {
        let commands = in_block(&text.commands);
        written.push_str(&format!("\n```\n{}\n```", cut(&commands, 900)));
    }
    json!({
        "username": "kluis",
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": cut(&discord_text(&text.title), DISCORD_TITLE_CHARS),
            "description": written,
            "color": match (notice.occasion, notice.is_failure()) {
                (Occasion::Test, _) => BLUE,
                (_, true) => RED,
                (_, false) => GREEN,
            },
        }],
    })
}

fn discord_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if "\\*_~`|>#[]()<@:".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// An adaptive card in the envelope that a Teams workflow ("when a webhook request
/// is received") takes: <https://adaptivecards.io/schemas/1.5.0/adaptive-card.json>.
/// Runs of rich text, unlike text blocks, know no markdown.
fn teams(notice: &Notice) -> Value {
    let text = &notice.text;
    let color = match (notice.occasion, notice.is_failure()) {
        (Occasion::Test, _) => "accent",
        (_, true) => "attention",
        (_, false) => "good",
    };
    let rich = |written: &str, style: Value| {
        let mut run = json!({ "type": "TextRun", "text": cut(written, TEAMS_TEXT_CHARS) });
        if let (Some(run), Value::Object(style)) = (run.as_object_mut(), style) {
            run.extend(style);
        }
        json!({ "type": "RichTextBlock", "inlines": [run] })
    };
    let mut body = vec![rich(
        &text.title,
        json!({ "size": "medium", "weight": "bolder", "color": color }),
    )];
    body.extend(text.lines.iter().take(50).map(|line| rich(line, json!({}))));
    let facts = text.facts.iter();
    body.extend(facts.map(|(name, fact)| {
        rich(
            &format!("{name}: {fact}"),
            json!({ "isSubtle": true, "size": "small" }),
        )
    }));
    let commands = text.commands.iter();
    body.extend(commands.map(|command| rich(command, json!({ "fontType": "monospace" }))));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "msteams": { "width": "Full" },
            },
        }],
    })
}

fn facts(text: &Wording) -> String {
    let facts = text
        .facts
        .iter()
        .map(|(name, fact)| format!("{name}: {fact}"));
    facts.collect::<Vec<_>>().join("\n")
}

/// At most so many characters; what was cut is shown to be.
fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that would call everybody, link, or end a code block.
    const HOSTILE: &str = "<!channel> @everyone <@U1> [x](http://evil) *b* ```c``` <http://evil|x>";

    fn notice(name: &str) -> Notice {
        Notice {
            occasion: Occasion::End,
            events: Vec::new(),
            text: Wording {
                title: format!("backup of {name} FAILED"),
                lines: vec![format!("{name}: disk full")],
                facts: vec![("host", "db1".to_owned())],
                commands: vec![format!("kluis show {name}")],
            },
        }
    }

    #[test]
    fn a_name_calls_nobody_in_slack() {
        let body = slack(&notice(HOSTILE).text).to_string();
        assert!(body.contains("&lt;!channel&gt;"), "{body}");
        let header_apart = body.replace(&format!("backup of {HOSTILE} FAILED"), "");
        assert!(!header_apart.contains("<!channel>"), "{header_apart}");
        assert!(!header_apart.contains("<http"), "{header_apart}");
        let header = &slack(&notice(HOSTILE).text)["blocks"][0]["text"];
        assert_eq!(header["type"], "plain_text");
    }

    #[test]
    fn a_command_can_be_copied_as_it_is() {
        let mut notice = notice("shop");
        let command = "kluis restore my_shop_db*2026~1 --into 'a`b'".to_owned();
        notice.text.commands = vec![command.clone()];
        let blocks = slack(&notice.text);
        let block = blocks["blocks"].as_array().unwrap().last().unwrap();
        assert_eq!(block["text"]["text"], format!("```\n{command}\n```"));
        let embed = &discord(&notice)["embeds"][0]["description"];
        assert!(embed.as_str().unwrap().contains(&command), "{embed}");
    }

    #[test]
    fn a_name_calls_nobody_in_discord_and_links_nowhere() {
        let body = discord(&notice(HOSTILE));
        assert_eq!(body["allowed_mentions"]["parse"], json!([]));
        let title = body["embeds"][0]["title"].as_str().unwrap();
        assert!(title.contains("\\[x\\]\\(http\\://evil\\)"), "{title}");
        let text = body["embeds"][0]["description"].as_str().unwrap();
        assert_eq!(text.matches("```").count(), 2, "{text}");
    }

    #[test]
    fn teams_gets_runs_that_know_no_markdown() {
        let card = teams(&notice(HOSTILE));
        let body = &card["attachments"][0]["content"]["body"];
        let blocks = body.as_array().unwrap();
        assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"));
        assert_eq!(blocks.len(), 4);
        let command = &blocks[3]["inlines"][0];
        assert_eq!(command["fontType"], "monospace");
    }

    #[test]
    fn what_is_longer_than_a_chat_takes_is_cut() {
        let long = notice(&"n".repeat(20_000));
        let body = slack(&long.text);
        for block in body["blocks"].as_array().unwrap() {
            let text = block["text"]["text"].as_str().unwrap();
            let limit = if block["type"] == "header" {
                150
            } else {
                3_000
            };
            assert!(text.chars().count() <= limit, "{}", block["type"]);
        }
        let embed = &discord(&long)["embeds"][0];
        assert!(embed["title"].as_str().unwrap().chars().count() <= 256);
        assert!(embed["description"].as_str().unwrap().chars().count() <= 4_096);
        assert!(teams(&long).to_string().len() < 28_000);
    }
}

//! Who got which e-mail, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use super::smtp::{Action, At, Message, Options, SmtpServer};

/// A relay that takes `time` for each e-mail, so that something can happen in mid-run.
pub async fn slow_relay(time: Duration) -> SmtpServer {
    SmtpServer::start(Options::default().at(At::Dot, Action::Delay(time))).await
}

/// All e-mails by recipient.
pub fn by_recipient(messages: Vec<Message>) -> BTreeMap<String, Vec<Message>> {
    let mut found = BTreeMap::<String, Vec<Message>>::new();
    for message in messages {
        found.entry(message.to.clone()).or_default().push(message);
    }
    found
}

/// Checks that `people` recipients got something, and each of them the same bytes if more than once; gives
/// how many e-mails were too many.
pub fn surplus(server: &SmtpServer, people: usize) -> usize {
    let messages = server.messages();
    let total = messages.len();
    let found = by_recipient(messages);
    assert_eq!(found.len(), people, "recipients");
    let mut ids: Vec<String> = Vec::with_capacity(people);
    for (to, copies) in &found {
        let first = String::from_utf8_lossy(&copies[0].raw);
        for copy in copies {
            assert_eq!(
                String::from_utf8_lossy(&copy.raw),
                first,
                "copies for {to} differ"
            );
        }
        ids.push(message_id(&copies[0]));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), people, "Message-IDs");
    total - people
}

/// Checks that `people` recipients got one e-mail each.
pub fn everybody_once(server: &SmtpServer, people: usize) {
    assert_eq!(surplus(server, people), 0, "copies");
}

/// The header, without its angle brackets.
pub fn message_id(message: &Message) -> String {
    use mailparse::MailHeaderMap as _;
    let mail = mailparse::parse_mail(&message.raw).expect("an e-mail");
    let id = mail.headers.get_first_value("Message-ID").expect("a Message-ID");
    id.trim_matches(['<', '>']).to_owned()
}

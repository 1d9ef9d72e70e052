//! The SMTP engine: one conversation with a sink in this process, so the kernel's part is in it, too.

use divan::{Bencher, counter::ItemsCount};
use herald::config::{RelayConfig, TlsMode};
use herald::domain::{DispatchId, EmailAddress, NotificationId};
use herald::mailer::{Conversation, Handover, Parcel, Relay};

use crate::letters::sample_email;
use crate::sink::{Manner, Sink};

/// E-mails an iteration.
const EMAILS: usize = 100;

fn relay(sink: &Sink) -> Relay {
    let minute = std::time::Duration::from_mins(1);
    let config = RelayConfig {
        host: "127.0.0.1".into(),
        port: sink.address().port(),
        credentials: None,
        tls: TlsMode::None,
        tls_ca: None,
        connections: 1,
        timeout: minute,
        rate_limit: 0,
        data_timeout: minute,
    };
    Relay::new(&config).expect("a relay")
}

async fn hand_over(conversation: &mut Conversation, email: &[u8], addresses: &[EmailAddress; 2]) {
    let dispatch = DispatchId::generate();
    let (mut added, mut settled) = (0, 0);
    while settled < EMAILS {
        while added < EMAILS && conversation.room() > 0 {
            conversation.add(Parcel {
                dispatch,
                notification: NotificationId(0),
                from: &addresses[0],
                to: &addresses[1],
                email: email.to_vec().into(),
            });
            added += 1;
        }
        for outcome in conversation.advance(|_| true).await {
            assert!(matches!(outcome, Handover::Accepted(_)), "{outcome:?}");
            settled += 1;
        }
    }
}

/// A hundred e-mails over one connection, one after another (false) or in chunks (true).
#[divan::bench(args = [false, true])]
fn conversation(bencher: Bencher<'_, '_>, chunking: bool) {
    let manner = Manner {
        chunking,
        ..Manner::default()
    };
    let sink = Sink::start(0, manner).expect("a sink");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut conversation = runtime.block_on(relay(&sink).connect()).expect("a conversation");
    let email = sample_email();
    let addresses = ["a@example.com", "b@example.com"].map(|a| a.parse().expect("an address"));
    bencher
        .counter(ItemsCount::new(EMAILS))
        .bench_local(|| runtime.block_on(hand_over(&mut conversation, &email, &addresses)));
    assert_eq!(sink.seen().errors, 0);
}

//! `add_test_data`.

use std::collections::HashSet;

use super::arguments::AddTestData;
use super::progress::Progress;
use super::{Failure, load_config, open_database, quiet_logs};
use crate::domain::EmailAddress;
use crate::repository::{add_participants, known_participants, put_event};

/// Participants in one transaction.
const CHUNK: usize = 10_000;

pub(super) async fn add(arguments: AddTestData) -> Result<(), Failure> {
    let AddTestData {
        event_id,
        participants,
        title,
        domain,
    } = arguments;
    if format!("a@{domain}").parse::<EmailAddress>().is_err() {
        return Err(Failure::Usage(format!(
            "--domain: `{domain}` is not a domain name"
        )));
    }
    let config = load_config()?;
    let _guard = quiet_logs(&config.log)?;
    let db = open_database(&config).await?;
    let known: HashSet<String> = db
        .write(move |conn| {
            put_event(conn, event_id, title.as_deref())?;
            Ok(known_participants(conn, event_id)?.into_iter().collect())
        })
        .await?;
    let mut progress = Progress::new("adding participants", participants);
    let mut added = 0;
    let mut number = 0;
    while number < participants {
        let mut people = Vec::with_capacity(CHUNK);
        while number < participants && people.len() < CHUNK {
            let address = format!("participant{number}@{domain}");
            if !known.contains(&address) {
                people.push((address, format!("Participant {number}")));
            }
            number += 1;
        }
        added += people.len();
        db.write(move |conn| add_participants(conn, event_id, &people))
            .await?;
        progress.set(number);
    }
    progress.finish();
    println!(
        "Event {event_id}: {added} participants added, {} were there.",
        participants - added as u64
    );
    Ok(())
}

//! The arguments of each command.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::{DispatchId, EmailAddress, EventId, TenantId};
use crate::message::{Reason, Recipe};

const AFTER: &str = "Configuration comes from the environment and from .env in the working directory; \
                     .env.example describes every variable.\n\
                     Exit codes: 0 done, 1 failed, 2 bad usage or bad configuration.";

/// Turns one message on a queue into one e-mail for each person concerned.
#[derive(Debug, Parser)]
#[command(name = "herald", version, after_help = AFTER)]
pub(super) struct Herald {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the worker: consume, send, serve the HTTP API, until SIGINT or SIGTERM
    Run,
    /// Create or upgrade the database and exit (`run` does it as well)
    Migrate,
    /// Process one message body without a broker and print a summary; exit 1 when somebody failed
    Dispatch {
        /// File with the message body; `-` reads standard input
        file: PathBuf,
    },
    /// Show the newest dispatches with their progress, or one in detail with whom it failed to reach
    Status {
        /// Id of a dispatch
        dispatch: Option<DispatchId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put failed or unknown notifications back to work
    Retry(Retry),
    /// Let a dispatch rest: nobody of it is mailed until it is resumed; its message is acked
    Pause {
        /// Its id
        dispatch: DispatchId,
    },
    /// End a pause: a running worker takes the dispatch up
    Resume {
        /// Its id
        dispatch: DispatchId,
    },
    /// End a dispatch for good: whoever was not mailed yet will not be
    Cancel {
        /// Its id
        dispatch: DispatchId,
    },
    /// Look into the dead-letter queue, replay or drop what is there; needs no running worker
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Look at completions that are pending, and make them due now; needs no running worker
    #[command(subcommand)]
    Completions(Completions),
    /// Look into the bundles of dispatches, prove them, or remove a person from them; needs a storage
    #[command(subcommand)]
    Archive(Archive),
    /// Show what is configured for a tenant, secrets masked; exit 1 when its file cannot be used
    Tenant {
        /// Id of the tenant, which is the name of its folder
        id: TenantId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Render a template from sample data, through the code that sends
    Preview {
        /// `created`, `updated`, `cancelled`, `order_created`, `order_status_updated`, or a pipeline message's type
        template: String,
        /// What to print
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Check configuration, templates, database, broker and relay: one line each, exit 1 if one fails
    ///
    /// Nothing is mailed or shown anywhere.
    Doctor {
        /// Check what is configured for this tenant instead: its files, templates, relay and webhook
        #[arg(long, value_name = "ID")]
        tenant: Option<TenantId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What `retry` puts back to work.
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// One notification
    #[arg(long, value_name = "ID", group = "what", required_unless_present_any = ["dispatch", "failed"])]
    pub(super) notification: Option<i64>,
    /// All of one dispatch
    #[arg(long, value_name = "ID", group = "what")]
    pub(super) dispatch: Option<DispatchId>,
    /// All that are failed or unknown
    #[arg(long, group = "what")]
    pub(super) failed: bool,
    /// With --failed: only what became so at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", requires = "failed")]
    pub(super) since: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What to do with pending completions.
#[derive(Debug, Subcommand)]
pub(super) enum Completions {
    /// Show what is still to be done for dispatches that were closed, newest first
    List {
        #[command(flatten)]
        which: OfRecipe,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make them due now: a running worker tries them within a second, or the next one at its start
    Retry {
        #[command(flatten)]
        which: OfRecipe,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which completions are meant.
#[derive(Debug, Args)]
pub(super) struct OfRecipe {
    /// Only those of this recipe, such as event.updated; otherwise all
    #[arg(long, value_name = "RECIPE")]
    pub(super) recipe: Option<Recipe>,
}

/// What to do with the archive.
#[derive(Debug, Subcommand)]
pub(super) enum Archive {
    /// List the bundle of a dispatch, or print an e-mail byte for byte as it was handed over
    Show {
        /// Id of the dispatch
        dispatch: DispatchId,
        /// Whose e-mail is printed
        #[arg(long, value_name = "ADDRESS")]
        recipient: Option<EmailAddress>,
        /// Print the list as JSON
        #[arg(long, conflicts_with = "recipient")]
        json: bool,
    },
    /// Check every hash, and that nobody is missing whom the ledger says was mailed; exit 1 if something is wrong
    Verify {
        /// One dispatch; otherwise all bundles
        dispatch: Option<DispatchId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a person's e-mails from all bundles, and write down in each that it was done
    ///
    /// A request that names the person (an order's) is removed as well. The ledger is not changed.
    Erase {
        /// Whose e-mails
        #[arg(long, value_name = "ADDRESS")]
        recipient: EmailAddress,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// Show the dead letters, oldest first; all of them stay where they are
    List {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back into the main queue, and reopen dispatches that ended as one
    ///
    /// Body, `message_id` and other properties stay as they were; a message-id-conflict gets a new id. What
    /// still cannot be processed comes back as a dead letter. Letters that arrive meanwhile are left alone.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove dead letters for good
    ///
    /// Letters that arrive meanwhile are left alone.
    Drop {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only those with this reason; otherwise all
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    pub(super) reason: Option<Reason>,
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)).try_map(|word| word.parse::<Reason>())
}

/// What `preview` prints.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// The HTML part
    Html,
    /// Subject and plain text part
    Text,
    /// The whole e-mail as it would be handed over
    Eml,
}

/// Adds an event with made-up participants to the database: participant0@example.com "Participant 0", …
///
/// Running it again adds nobody twice.
#[derive(Debug, Parser)]
#[command(name = "add_test_data", version, after_help = AFTER)]
pub(super) struct AddTestData {
    /// The event
    #[arg(long)]
    pub(super) event_id: EventId,
    /// How many participants it is to have
    #[arg(long)]
    pub(super) participants: u64,
    /// Its title
    #[arg(long)]
    pub(super) title: Option<String>,
    /// Domain of the addresses
    #[arg(long, default_value = "example.com")]
    pub(super) domain: String,
}

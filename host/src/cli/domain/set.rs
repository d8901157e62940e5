//! `fief set`.

use super::alter::{Words, change, word};
use crate::cli::Context;
use crate::config::domain::{Action, Autostart};
use crate::domain::change::{Change, Settings, Starts};
use crate::domain::store;
use crate::error::{Failure, Result};
use crate::types::{ByteSize, DomainName, Span};

/// Change settings of a domain: at once where it runs and can take them, the others from its next start
#[derive(Debug, clap::Args)]
#[command(after_help = "All are checked before any is applied. At once: memory up to max-memory (the guest's balloon \
                        driver gives back and takes), and what follows the guest's end. `fief show` tells what waits.")]
pub(in crate::cli) struct Args {
    /// Name of a domain
    name: DomainName,
    /// Memory of the guest, as 512MiB or 2G
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Memory that it may be given while it runs
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<ByteSize>,
    /// Processors of the guest
    #[arg(long, value_name = "NUMBER")]
    vcpus: Option<u16>,
    /// destroy, restart or preserve
    #[arg(long, value_name = "ACTION", value_parser = word::<Action>)]
    on_poweroff: Option<Action>,
    /// destroy, restart or preserve
    #[arg(long, value_name = "ACTION", value_parser = word::<Action>)]
    on_reboot: Option<Action>,
    /// destroy, restart or preserve
    #[arg(long, value_name = "ACTION", value_parser = word::<Action>)]
    on_crash: Option<Action>,
    /// Start it with the host; lower orders first
    #[arg(long, value_name = "ORDER", num_args = 0..=1, require_equals = true, default_missing_value = "100")]
    autostart: Option<u16>,
    /// How long to wait after its start before the next
    #[arg(long, value_name = "TIME", requires = "autostart")]
    autostart_delay: Option<Span>,
    /// Start it only when asked
    #[arg(long, conflicts_with = "autostart")]
    no_autostart: bool,
    /// Keep it from being deleted
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    protected: Option<bool>,
    /// Let it be deleted again
    #[arg(long, conflicts_with = "protected")]
    no_protected: bool,
    /// A line for people; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let before = store::load(context.layout(), &args.name)?;
    let delay = args.autostart_delay.or(before.autostart.map(|autostart| autostart.delay));
    let with_host =
        |order| Starts::WithHost(Autostart { order, delay: delay.unwrap_or(Span(std::time::Duration::ZERO)) });
    let settings = Settings {
        memory: args.memory,
        max_memory: args.max_memory,
        vcpus: args.vcpus,
        on_poweroff: args.on_poweroff,
        on_reboot: args.on_reboot,
        on_crash: args.on_crash,
        protected: args.protected.or(args.no_protected.then_some(false)),
        autostart: args.autostart.map(with_host).or(args.no_autostart.then_some(Starts::WhenAsked)),
        description: args.description.clone(),
    };
    if settings == Settings::default() {
        return Err(Failure::usage("nothing is to be set").hint("`fief set --help` shows what can be"));
    }
    let words = Words {
        done: "is set so now".to_owned(),
        already: "is set so already".to_owned(),
        later: "is set so, in part".to_owned(),
    };
    change(context, &args.name, &Change::Set { settings }, Span(std::time::Duration::ZERO), &words)
}

//! The verbs for domains. They stand at the top level: they are what people use all day.

mod alter;
mod attach;
mod clone;
mod console;
mod create;
mod delete;
mod detach;
mod edit;
mod far;
mod import;
mod list;
mod logs;
mod migrate;
mod pause;
mod reboot;
mod recover;
mod rename;
mod reset;
mod restore;
mod resume;
mod run;
mod save;
mod screenshot;
mod set;
mod show;
mod shutdown;
mod snapshot;
mod start;
mod stop;
mod tell;
mod view;
mod wait;

use clap::Subcommand;

use crate::cli::Context;
use crate::error::Result;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Run(run::Args),
    Create(create::Args),
    Import(import::Args),
    List(list::Args),
    Show(show::Args),
    Edit(edit::Args),
    Set(set::Args),
    #[command(subcommand)]
    Attach(attach::Verb),
    #[command(subcommand)]
    Detach(detach::Verb),
    Start(start::Args),
    Shutdown(shutdown::Args),
    Reboot(reboot::Args),
    Reset(reset::Args),
    Stop(stop::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Save(save::Args),
    Restore(restore::Args),
    Console(console::Args),
    View(view::Args),
    Screenshot(screenshot::Args),
    Logs(logs::Args),
    Clone(clone::Args),
    #[command(subcommand)]
    Snapshot(snapshot::Verb),
    Rename(rename::Args),
    Migrate(migrate::Args),
    Delete(delete::Args),
    Recover(recover::Args),
    Wait(wait::Args),
}

pub(super) fn run(context: &Context, verb: Verb) -> Result<()> {
    match verb {
        Verb::Run(args) => run::run(context, &args),
        Verb::Create(args) => create::run(context, &args),
        Verb::Import(args) => import::run(context, &args),
        Verb::List(args) => list::run(context, &args),
        Verb::Show(args) => show::run(context, &args),
        Verb::Edit(args) => edit::run(context, &args),
        Verb::Set(args) => set::run(context, &args),
        Verb::Attach(verb) => attach::run(context, verb),
        Verb::Detach(verb) => detach::run(context, &verb),
        Verb::Start(args) => start::run(context, &args),
        Verb::Shutdown(args) => shutdown::run(context, &args),
        Verb::Stop(args) => stop::run(context, &args),
        Verb::Reboot(args) => reboot::run(context, &args),
        Verb::Reset(args) => reset::run(context, &args),
        Verb::Pause(args) => pause::run(context, &args),
        Verb::Resume(args) => resume::run(context, &args),
        Verb::Save(args) => save::run(context, &args),
        Verb::Restore(args) => restore::run(context, &args),
        Verb::View(args) => view::run(context, &args),
        Verb::Screenshot(args) => screenshot::run(context, &args),
        Verb::Clone(args) => clone::run(context, &args),
        Verb::Snapshot(verb) => snapshot::run(context, verb),
        Verb::Rename(args) => rename::run(context, &args),
        Verb::Migrate(args) => migrate::run(context, args),
        Verb::Console(args) => console::run(context, &args),
        Verb::Logs(args) => logs::run(context, &args),
        Verb::Recover(args) => recover::run(context, &args),
        Verb::Delete(args) => delete::run(context, &args),
        Verb::Wait(args) => wait::run(context, &args),
    }
}

//! `fief plugin show`

use std::str::FromStr;

use super::asks::asks;
use super::fetching::FetchArgs;
use super::list::PluginRow;
use crate::cli::output::table::{self, Cell, Column};
use crate::cli::output::text::printable;
use crate::cli::output::{Row, Shown};
use crate::cli::{Context, load};
use crate::error::Result;
use crate::plugin;
use crate::plugin::package::Trial;
use crate::plugin::source::Source;
use crate::plugin::strikes::Strikes;
use crate::types::PluginId;

/// Print a plugin's manifest, with what it asks for beside what it was granted
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An installed plugin, or what may become one: a path (it has a `/`, ends in `.wasm`, or begins with a dot), https://… or oci://…
    #[arg(value_name = "ID|FILE|DIRECTORY|ADDRESS")]
    plugin: Subject,
    #[command(flatten)]
    fetching: FetchArgs,
}

#[derive(Debug, Clone)]
enum Subject {
    Installed(PluginId),
    Source(Source),
}

impl FromStr for Subject {
    type Err = <PluginId as FromStr>::Err;

    fn from_str(text: &str) -> std::result::Result<Subject, Self::Err> {
        match text.contains('/') || text.ends_with(".wasm") || text.starts_with('.') {
            true => text.parse().map(Subject::Source),
            false => text.parse().map(Subject::Installed),
        }
    }
}

pub(super) fn run(context: &Context, args: &Args) -> Result<()> {
    let installed = match &args.plugin {
        Subject::Installed(id) => plugin::installed(context.layout(), id)?,
        Subject::Source(source) => load::inspect_plugin(&args.fetching.fetch(&context.gate()?, source)?)?,
    };
    let policy = context.policy()?;
    let row = PluginRow::of(context.layout(), &installed, &policy);
    context.show(&Shown { kind: "plugin", name: row.name(), json: row.json(), text: text(&row) })
}

/// Ahead of its installation.
const fn tried(trial: Option<Trial>) -> &'static str {
    match trial {
        Some(Trial::Passed) => "yes",
        Some(Trial::PassedOver) => "no, as the operator said (--untried)",
        None => "not known",
    }
}

fn text(row: &PluginRow<'_>) -> String {
    let manifest = &row.installed.manifest;
    let pinned = match row.grants().and_then(|grants| grants.digest) {
        None => "not pinned",
        Some(pin) if pin == row.installed.digest => "pinned",
        Some(_) => "policy pins another one",
    };
    let head = [
        ("id", manifest.id.to_string()),
        ("version", manifest.version.clone()),
        ("kind", manifest.kind.name().to_owned()),
        ("summary", manifest.summary.clone()),
        ("serves", row.serves().join(", ")),
        ("host api", manifest.host_api.clone()),
        ("digest", format!("{} ({pinned})", row.installed.digest)),
        ("signer", row.signer().unwrap_or_else(|| "nobody".to_owned())),
        ("source", row.source().unwrap_or_else(|| "not known".to_owned())),
        ("tried", tried(row.installed.trial).to_owned()),
        ("imports", row.installed.imports.join(", ")),
        ("exports", row.installed.exports.join(", ")),
    ];
    let mut out = String::new();
    for (key, value) in head {
        let value = if value.is_empty() { "-".into() } else { printable(&value) };
        out.push_str(&format!("{key:<10} {value}\n"));
    }
    for Strikes { subject, count, at, why, .. } in row.set_aside() {
        let key = "set aside";
        out.push_str(&format!(
            "{key:<10} {subject}: at fault {count} times, the last at {at:.0}: {}\n",
            printable(why)
        ));
    }
    let asks = asks(manifest, row.grants());
    if !asks.is_empty() {
        let granted = |ask: &super::asks::Ask| ask.granted.clone().unwrap_or_else(|| "no".to_owned());
        let rows: Vec<Vec<Cell>> =
            asks.iter().map(|a| vec![a.what.as_str().into(), granted(a).into(), a.reason.as_str().into()]).collect();
        let columns = [Column::left("ASKS FOR"), Column::left("GRANTED"), Column::left("REASON")];
        out.push('\n');
        out.push_str(&table::render(&columns, &rows, false, None));
    }
    if !manifest.settings.is_empty() {
        let rows: Vec<Vec<Cell>> = manifest
            .settings
            .iter()
            .map(|setting| {
                let kind = serde_json::to_value(setting.kind).ok();
                let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("?").to_owned();
                let default = match (&setting.default, setting.required) {
                    (Some(default), _) => Cell::from(default.as_str()),
                    (None, true) => "(required)".into(),
                    (None, false) => Cell::Nothing,
                };
                vec![setting.key.as_str().into(), kind.into(), default, setting.doc.as_str().into()]
            })
            .collect();
        let columns = [Column::left("SETTING"), Column::left("TYPE"), Column::left("DEFAULT"), Column::left("MEANING")];
        out.push('\n');
        out.push_str(&table::render(&columns, &rows, false, None));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::policy::{PluginGrants, Policy};
    use crate::plugin::manifest::{SettingKind, SettingSchema};
    use crate::plugin::source::SourceRecord;
    use crate::plugin::strikes::Strikes;
    use crate::plugin::{Installed, Manifest};

    #[test]
    fn asks_stand_beside_grants() {
        let settings = vec![SettingSchema {
            key: "directory".to_owned(),
            kind: SettingKind::Directory,
            default: None,
            required: true,
            doc: "Where the images lie".to_owned(),
        }];
        let installed = Installed {
            digest: crate::types::Digest::of(b"abc"),
            manifest: Manifest { settings, ..super::super::asks::tests::manifest() },
            imports: vec!["fief:storage/images@0.1.0".to_owned()],
            exports: Vec::new(),
            signer: Some("ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a".parse().unwrap()),
            source: Some(SourceRecord { from: "/srv/a\x1b.wasm".to_owned(), manifest: None }),
            trial: Some(Trial::Passed),
        };
        let grants = PluginGrants { secrets: Vec::new(), ..super::super::asks::tests::grants() };
        let mut policy = Policy::default();
        policy.plugins.insert(installed.manifest.id.clone(), grants);
        policy.pools.insert("file".to_owned(), installed.manifest.id.clone());
        let at = jiff::Timestamp::now();
        let strikes = Strikes {
            subject: "pool bad".to_owned(),
            digest: installed.digest,
            count: 3,
            at,
            why: "it trapped".to_owned(),
        };
        let shown = text(&PluginRow { installed: &installed, policy: &policy, strikes: vec![strikes] });
        insta::assert_snapshot!(shown.replace(&format!("{at:.0}"), "TIME"), @r"
        id         storage-file
        version    0.1.0
        kind       storage
        summary    Volumes are files
        serves     file
        host api   0.1.0
        digest     sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad (not pinned)
        signer     ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a (not known to policy)
        source     /srv/a\x1b.wasm
        tried      yes
        imports    fief:storage/images@0.1.0
        exports    -
        set aside  pool bad: at fault 3 times, the last at TIME: it trapped

        ASKS FOR                          GRANTED                           REASON
        interface images                  yes                               because
        interface bridges                 yes, bridges fief-*               because
        directory, read-only              images = /srv/images (read-only)  because
        connect server = {server}:{port}  {server}:{port}                   because
        secret key                        no                                because

        SETTING    TYPE       DEFAULT     MEANING
        directory  directory  (required)  Where the images lie
        ");
    }
}

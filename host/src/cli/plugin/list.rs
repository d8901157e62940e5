//! `fief plugin list`

use serde_json::{Value, json};

use super::asks::asks;
use crate::cli::Context;
use crate::cli::output::{Cell, Column, Row};
use crate::config::policy::{PluginGrants, Policy};
use crate::error::Result;
use crate::layout::Layout;
use crate::plugin::package::Trial;
use crate::plugin::strikes::{self, Strikes};
use crate::plugin::{Installed, package};
use crate::sandbox::protocol::PluginKind;

/// List the installed plugins
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(super) struct PluginRow<'a> {
    pub installed: &'a Installed,
    pub policy: &'a Policy,
    /// What is held against it.
    pub strikes: Vec<Strikes>,
}

pub(super) fn run(context: &Context, _: &Args) -> Result<()> {
    let policy = context.policy()?;
    let installed = package::all(context.layout())?;
    let rows: Vec<PluginRow<'_>> =
        installed.iter().map(|installed| PluginRow::of(context.layout(), installed, &policy)).collect();
    context.list(&rows)
}

impl<'a> PluginRow<'a> {
    pub(super) fn of(layout: &Layout, installed: &'a Installed, policy: &'a Policy) -> Self {
        let strikes = strikes::all(layout, &installed.manifest.id, installed.digest);
        PluginRow { installed, policy, strikes }
    }
    pub(super) fn grants(&self) -> Option<&'a PluginGrants> {
        self.policy.plugins.get(&self.installed.manifest.id)
    }
    /// Kinds of pool and network that policy gives to it.
    pub(super) fn serves(&self) -> Vec<String> {
        let of = |table: &std::collections::BTreeMap<String, crate::types::PluginId>| {
            let mine = table.iter().filter(|(_, id)| **id == self.installed.manifest.id);
            mine.map(|(kind, _)| kind.clone()).collect::<Vec<_>>()
        };
        match self.installed.manifest.kind {
            PluginKind::Storage => of(&self.policy.pools),
            PluginKind::Network => of(&self.policy.networks),
            PluginKind::Migration => Vec::new(),
        }
    }
    /// Who signed it, by the operator's name for them where there is one.
    pub(super) fn signer(&self) -> Option<String> {
        self.installed.signer.map(|signer| match self.policy.trust.name(signer) {
            Some(name) => format!("{name} ({signer})"),
            None => format!("{signer} (not known to policy)"),
        })
    }
    /// What it is set aside for, and why; each with its faults.
    pub(super) fn set_aside(&self) -> impl Iterator<Item = &Strikes> {
        self.strikes.iter().filter(|strikes| strikes.are_out())
    }
    /// `ok`; else that it was never tried, and what it is set aside for and why.
    fn state(&self) -> String {
        let aside = self.set_aside().map(|strikes| format!("set aside for {}: {}", strikes.subject, strikes.why));
        let untried = (self.installed.trial == Some(Trial::PassedOver)).then(|| "untried".to_owned());
        let each: Vec<String> = untried.into_iter().chain(aside).collect();
        if each.is_empty() { "ok".to_owned() } else { each.join("; ") }
    }
    /// Where it came from, and what a tag led to.
    pub(super) fn source(&self) -> Option<String> {
        let source = self.installed.source.as_ref()?;
        Some(match source.manifest {
            Some(manifest) => format!("{} ({manifest})", source.from),
            None => source.from.clone(),
        })
    }
    /// `all`, `none`, or `2 of 3`; nothing where it asks for nothing.
    fn granted(&self) -> Cell {
        let asks = asks(&self.installed.manifest, self.grants());
        let granted = asks.iter().filter(|ask| ask.granted.is_some()).count();
        match (granted, asks.len()) {
            (_, 0) => Cell::Nothing,
            (granted, all) if granted == all => "all".into(),
            (0, _) => "none".into(),
            (granted, all) => format!("{granted} of {all}").into(),
        }
    }
}

impl Row for PluginRow<'_> {
    const KIND: &'static str = "plugin";
    const COLUMNS: &'static [Column] = &[
        Column::left("ID"),
        Column::left("VERSION"),
        Column::left("KIND"),
        Column::left("SERVES"),
        Column::left("GRANTED"),
        Column::left("STATE"),
        Column::left("SUMMARY"),
        Column::left("DIGEST").wide(),
        Column::left("SIGNER").wide(),
    ];
    fn name(&self) -> String {
        self.installed.manifest.id.to_string()
    }
    fn cells(&self) -> Vec<Cell> {
        let manifest = &self.installed.manifest;
        vec![
            manifest.id.as_str().into(),
            manifest.version.as_str().into(),
            manifest.kind.name().into(),
            self.serves().join(",").into(),
            self.granted(),
            self.state().into(),
            manifest.summary.as_str().into(),
            self.installed.digest.to_string().into(),
            self.signer().map_or(Cell::Nothing, Cell::from),
        ]
    }
    fn json(&self) -> Value {
        let asks: Vec<Value> = asks(&self.installed.manifest, self.grants())
            .into_iter()
            .map(|ask| json!({ "permission": ask.what, "reason": ask.reason, "granted": ask.granted }))
            .collect();
        let manifest = &self.installed.manifest;
        json!({
            "id": manifest.id,
            "version": manifest.version,
            "kind": manifest.kind,
            "host-api": manifest.host_api,
            "summary": manifest.summary,
            "settings": manifest.settings,
            "digest": self.installed.digest,
            "signer": self.installed.signer,
            "source": self.installed.source,
            "imports": self.installed.imports,
            "exports": self.installed.exports,
            "serves": self.serves(),
            "permissions": asks,
            "trial": self.installed.trial,
            "set-aside": self.set_aside().collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::asks::tests::{grants, manifest};
    use super::*;
    use crate::cli::output::{Format, listing};

    #[test]
    fn a_plugin_shows_what_it_serves_and_whether_it_got_what_it_asks_for() {
        let mut installed = Installed {
            digest: crate::types::Digest::of(b"abc"),
            manifest: Manifest { summary: "Files\x1b[2J".to_owned(), ..manifest() },
            imports: Vec::new(),
            exports: Vec::new(),
            signer: None,
            source: None,
            trial: None,
        };
        let id = installed.manifest.id.clone();
        let mut policy = Policy::default();
        let shown_of = |installed: &Installed, policy: &Policy| {
            let row = PluginRow { installed, policy, strikes: Vec::new() };
            listing(&[row], Format::Table, None).unwrap().lines().nth(1).unwrap().to_owned()
        };
        let shown = |policy: &Policy| shown_of(&installed, policy);
        assert_eq!(shown(&policy), r"storage-file  0.1.0    storage  -       none     ok     Files\x1b[2J");
        policy.pools.insert("file".to_owned(), id.clone());
        policy.plugins.insert(id.clone(), PluginGrants { secrets: Vec::new(), ..grants() });
        assert_eq!(shown(&policy), r"storage-file  0.1.0    storage  file    4 of 5   ok     Files\x1b[2J");
        policy.plugins.insert(id, grants());
        assert_eq!(shown(&policy), r"storage-file  0.1.0    storage  file    all      ok     Files\x1b[2J");
        installed.trial = Some(Trial::PassedOver);
        assert!(shown_of(&installed, &policy).contains("  all      untried  "));
    }

    use crate::plugin::Manifest;
}

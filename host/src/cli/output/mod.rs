//! What a verb prints, said once for every format: rows become a table, JSON, YAML or bare names.
//!
//! Data goes to stdout; progress, warnings and errors to stderr.

pub mod failure;
pub mod json;
pub mod progress;
pub mod stdout;
pub mod table;
pub mod text;
pub mod yaml;

use std::ffi::{OsStr, OsString};

use serde_json::Value;

use crate::error::Result;

pub use table::{Cell, Column};

/// How output is written (`-o`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// One JSON document; sizes in bytes, times in RFC 3339
    Json,
    /// The same as YAML
    Yaml,
    /// Names alone, one a line
    Name,
    /// The table with more columns
    Wide,
}

impl Format {
    /// What an argument list asks for, read before it is parsed, so that a usage error has the right shape too.
    pub(super) fn asked_for(arguments: &[OsString]) -> Format {
        let mut arguments = arguments.iter().map(|a| a.to_str().unwrap_or_default()).take_while(|a| *a != "--");
        while let Some(argument) = arguments.next() {
            let value = match argument {
                "-o" | "--output" => arguments.next().unwrap_or_default(),
                _ => argument.strip_prefix("--output=").or_else(|| argument.strip_prefix("-o")).unwrap_or_default(),
            };
            match value.trim_start_matches('=') {
                "json" => return Format::Json,
                "yaml" => return Format::Yaml,
                _ => {}
            }
        }
        Format::Table
    }
}

/// A line of a listing, in every format.
pub trait Row {
    /// The word for one such thing in JSON (`volume`); a listing of them is a `volume-list`.
    const KIND: &'static str;
    const COLUMNS: &'static [Column];
    /// What `-o name` prints: what other verbs take.
    fn name(&self) -> String;
    /// As many as there are columns.
    fn cells(&self) -> Vec<Cell>;
    /// An object with kebab-case keys; bytes are integers, times RFC 3339.
    fn json(&self) -> Value;
}

/// One thing, looked at closely.
#[derive(Debug, Clone)]
pub struct Shown {
    pub kind: &'static str,
    pub name: String,
    /// An object.
    pub json: Value,
    /// For people; already free of control characters other than the newline.
    pub text: String,
}

/// A listing as text. `width` is the terminal's, none where stdout is no terminal.
pub fn listing<R: Row>(rows: &[R], format: Format, width: Option<usize>) -> Result<String> {
    match format {
        Format::Table | Format::Wide => {
            let cells: Vec<Vec<Cell>> = rows.iter().map(Row::cells).collect();
            Ok(table::render(R::COLUMNS, &cells, format == Format::Wide, width))
        }
        Format::Name => Ok(rows.iter().map(|row| text::printable(&row.name()).into_owned() + "\n").collect()),
        Format::Json | Format::Yaml => {
            let items = Value::Array(rows.iter().map(Row::json).collect());
            let kind = format!("{}-list", R::KIND);
            document(format, json::envelope(&kind, serde_json::json!({ "items": items })))
        }
    }
}

pub fn shown(shown: &Shown, format: Format) -> Result<String> {
    match format {
        Format::Table | Format::Wide => Ok(shown.text.clone()),
        Format::Name => Ok(text::printable(&shown.name).into_owned() + "\n"),
        Format::Json | Format::Yaml => document(format, json::single(shown.kind, shown.json.clone())),
    }
}

/// A whole document in JSON, or in YAML where that is what was asked for.
pub(super) fn document(format: Format, value: Value) -> Result<String> {
    if format == Format::Yaml { Ok(yaml::render(&value)) } else { json::pretty(&value) }
}

/// Columns of the terminal that stdout is, or what `COLUMNS` says of it; none where it is no terminal.
pub fn terminal_width() -> Option<usize> {
    use std::io::IsTerminal;
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let columns = std::env::var_os("COLUMNS").as_deref().and_then(OsStr::to_str).and_then(|c| c.parse().ok());
    columns
        .or_else(|| rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col)))
        .filter(|columns| *columns > 0)
}

/// RFC 3339, from seconds since 1970-01-01T00:00:00Z; `?` for what no calendar holds.
pub fn time(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| "?".to_owned(), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk(&'static str, Option<u64>);

    impl Row for Disk {
        const KIND: &'static str = "disk";
        const COLUMNS: &'static [Column] =
            &[Column::left("NAME"), Column::right("SIZE"), Column::left("FORMAT"), Column::left("BACKING").wide()];
        fn name(&self) -> String {
            self.0.to_owned()
        }
        fn cells(&self) -> Vec<Cell> {
            vec![self.0.into(), Cell::size(self.1), Cell::Unknown, Cell::Nothing]
        }
        fn json(&self) -> Value {
            serde_json::json!({ "name": self.0, "size": self.1 })
        }
    }

    const DISKS: [Disk; 3] =
        [Disk("root", Some(20 << 30)), Disk("a-longer-name", None), Disk("\x1b[31mred", Some(512))];

    #[test]
    fn a_table_has_upper_case_heads_and_marks_what_is_not_there() {
        insta::assert_snapshot!(listing(&DISKS, Format::Table, None).unwrap(), @r"
        NAME            SIZE  FORMAT
        root           20GiB  ?
        a-longer-name      -  ?
        \x1b[31mred     512B  ?
        ");
    }

    #[test]
    fn a_wide_table_has_more_columns() {
        insta::assert_snapshot!(listing(&DISKS[..1], Format::Wide, None).unwrap(), @r"
        NAME   SIZE  FORMAT  BACKING
        root  20GiB  ?       -
        ");
    }

    #[test]
    fn names_stand_one_on_a_line_and_an_empty_listing_has_none() {
        assert_eq!(listing(&DISKS[..2], Format::Name, None).unwrap(), "root\na-longer-name\n");
        assert_eq!(listing::<Disk>(&[], Format::Name, None).unwrap(), "");
        assert_eq!(listing::<Disk>(&[], Format::Table, None).unwrap(), "NAME  SIZE  FORMAT\n");
    }

    #[test]
    fn json_names_its_version_and_gives_bytes_as_integers() {
        insta::assert_snapshot!(listing(&DISKS[..2], Format::Json, None).unwrap(), @r#"
        {
          "apiVersion": "fief/v1",
          "items": [
            {
              "name": "root",
              "size": 21474836480
            },
            {
              "name": "a-longer-name",
              "size": null
            }
          ],
          "kind": "disk-list"
        }
        "#);
    }

    #[test]
    fn yaml_says_the_same_as_json() {
        insta::assert_snapshot!(listing(&DISKS, Format::Yaml, None).unwrap(), @r#"
        apiVersion: "fief/v1"
        items:
          - name: root
            size: 21474836480
          - name: a-longer-name
            size: null
          - name: "\u001b[31mred"
            size: 512
        kind: disk-list
        "#);
    }

    #[test]
    fn the_format_is_found_in_arguments_that_do_not_parse() {
        let asked = |line: &str| Format::asked_for(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in ["-o json pool", "pool -ojson", "--output=json", "--nonsense --output json", "-o=json"] {
            assert_eq!(asked(line), Format::Json, "{line}");
        }
        for line in ["pool list", "-o", "-- -o json", "-o table"] {
            assert_eq!(asked(line), Format::Table, "{line}");
        }
    }
}

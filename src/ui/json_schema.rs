//! The schemas of JSON output in `docs/reference/`: made from the very types that are written, by the tests that
//! compare them with the files. `make schemas` writes the files. The program itself has nothing of it.

use std::borrow::Cow;
use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};
use snapbox::data::DataFormat;
use snapbox::{Data, assert_data_eq};

use super::json_value::{Absolute, ByWord, HasWord, JsonPath, JsonTime, Octal, Word};

/// Compares the schema of `T` with `docs/reference/NAME.schema.json`, or writes that where `SNAPSHOTS=overwrite`.
#[track_caller]
pub(crate) fn assert_published<T: JsonSchema>(title: &str, name: &str) {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(refuse_other_keys))
        .with_transform(RecursiveTransform(join_lines_of_description));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_string(), title.into());
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let file = format!("docs/reference/{name}.schema.json");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    assert_data_eq!(text, Data::read_from(&file, Some(DataFormat::Text)).raw());
}

/// A document has the keys that are published, and no others.
fn refuse_other_keys(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_string(), false.into());
    }
}

/// A comment is broken into lines for its source file alone.
fn join_lines_of_description(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

impl JsonSchema for Absolute<'_> {
    fn schema_name() -> Cow<'static, str> {
        JsonPath::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        JsonPath::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        JsonPath::json_schema(generator)
    }
}

impl JsonSchema for JsonTime {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "pattern": "Z$" })
    }
}

impl JsonSchema for Octal {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Octal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-7]{4}$" })
    }
}

impl<T: HasWord> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": T::all_words() })
    }
}

impl<T: HasWord, V: JsonSchema> JsonSchema for ByWord<T, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByWord".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = T::all_words();
        let of_word = |word: &&str| (word.to_string(), generator.subschema_for::<V>().to_value());
        let properties: Map<String, Value> = words.iter().map(of_word).collect();
        json_schema!({ "type": "object", "properties": properties, "required": words })
    }
}

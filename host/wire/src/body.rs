//! Any JSON that means one thing: no key of an object stands twice, and nothing is nested deeper than a host needs.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

/// Deepest nesting: the facts of a host need six.
const DEPTH_MAX: usize = 24;

/// What a request asks or a reply tells; whoever it is for reads it as a type of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Body(pub Value);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Deep(DEPTH_MAX).deserialize(from).map(Body)
    }
}

/// How much deeper it may go.
struct Deep(usize);

impl Deep {
    fn below<E: Error>(&self) -> Result<Deep, E> {
        let deeper = self.0.checked_sub(1).map(Deep);
        deeper.ok_or_else(|| E::custom(format!("nested more than {DEPTH_MAX} deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Deep {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Deep {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = from.next_element_seed(self.below()?)? {
            all.push(one);
        }
        Ok(Value::Array(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = from.next_key::<String>()? {
            let value = from.next_value_seed(self.below()?)?;
            if all.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_two_things_is_refused() {
        let read = |text: &str| serde_json::from_str::<Body>(text).map(|body| body.0);
        for good in ["null", "[1,-2,2.5,\"x\",true,{}]", "{\"a\":{\"b\":[null]}}"] {
            assert_eq!(read(good).unwrap(), serde_json::from_str::<Value>(good).unwrap());
        }
        for bad in ["{\"a\":1,\"a\":1}", "[{\"a\":{\"b\":1,\"b\":2}}]", "1e999", "{} {}", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        assert!(read(&nested(DEPTH_MAX + 2)).is_err() && read(&nested(100_000)).is_err());
    }
}

//! Named numbers: what a run is summed up in, compared by, and printed as.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};

/// Numbers by name, in the order in which they were added. The end of a name is its unit: `_us`, `_bytes`, `_percent`,
/// `_per_second`, `_seconds`, `_count`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(Vec<(String, f64)>);

impl Figures {
    /// Adds one. Numbers that are none (0/0) are left out.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        if value.is_finite() {
            self.0.push((name.into(), value));
        }
    }

    /// Takes one away that would be misunderstood.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name);
    }

    /// One by its name.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// For each name, the median of those that have it.
    pub(crate) fn medians(all: &[&Self]) -> Self {
        let mut medians = Self::default();
        for (name, _) in all.iter().flat_map(|figures| figures.iter()) {
            if medians.get(name).is_none() {
                let values: Vec<f64> = all.iter().filter_map(|figures| figures.get(name)).collect();
                medians.set(name, median(values));
            }
        }
        medians
    }

    /// `self` divided by `other`, name by name, where both have it and the other is not 0.
    pub(crate) fn ratios(&self, other: &Self) -> Self {
        let mut ratios = Self::default();
        for (name, value) in self.iter() {
            if let Some(divisor) = other.get(name).filter(|divisor| *divisor != 0.0) {
                ratios.set(name, value / divisor);
            }
        }
        ratios
    }
}

/// The middle one; between the two in the middle where their number is even. NaN where there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The name of a figure for people: without its unit and underscores.
pub(crate) fn label(name: &str) -> String {
    let bare = ["_us", "_bytes", "_percent", "_seconds", "_count"]
        .into_iter()
        .find_map(|unit| name.strip_suffix(unit));
    bare.unwrap_or(name).replace('_', " ").replace("cpu", "CPU")
}

/// Whether more of it is better.
pub(crate) fn more_is_better(name: &str) -> bool {
    name.ends_with("_per_second")
}

/// A number with its unit, for people: three digits that mean something.
pub(crate) fn with_unit(name: &str, value: f64) -> String {
    if name.ends_with("_us") {
        return duration_us(value);
    }
    if name.ends_with("_bytes") {
        let (number, unit) = match value.abs() {
            size if size >= 1_073_741_824.0 => (value / 1_073_741_824.0, "GiB"),
            size if size >= 1_048_576.0 => (value / 1_048_576.0, "MiB"),
            size if size >= 1024.0 => (value / 1024.0, "KiB"),
            _ => (value, "B"),
        };
        return format!("{} {unit}", plain(number));
    }
    if name.ends_with("_percent") {
        return format!("{} %", plain(value));
    }
    if name.ends_with("_seconds") {
        return duration_us(value * 1e6);
    }
    if name.ends_with("_per_second") {
        return format!("{} /s", plain(value));
    }
    if name.ends_with("_count") && value.fract() == 0.0 {
        return format!("{value}");
    }
    plain(value)
}

/// Microseconds, milliseconds or seconds.
pub(crate) fn duration_us(us: f64) -> String {
    match us.abs() {
        long if long >= 1e6 => format!("{} s", plain(us / 1e6)),
        middle if middle >= 1e3 => format!("{} ms", plain(us / 1e3)),
        _ => format!("{} µs", plain(us)),
    }
}

/// Three digits that mean something, thousands apart.
pub(crate) fn plain(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => 4,
        size if size < 1.0 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut spaced = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        if index > 0 && left % 3 == 0 && digit.is_ascii_digit() && !spaced.ends_with('-') {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    match fraction {
        Some(fraction) => format!("{spaced}.{fraction}"),
        None => spaced,
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Figures;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Figures, A::Error> {
                let mut figures = Figures::default();
                while let Some((name, value)) = map.next_entry::<String, f64>()? {
                    figures.set(name, value);
                }
                Ok(figures)
            }
        }
        deserializer.deserialize_map(Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(list: &[(&str, f64)]) -> Figures {
        let mut figures = Figures::default();
        for (name, value) in list {
            figures.set(*name, *value);
        }
        figures
    }

    #[test]
    fn medians_are_taken_name_by_name() {
        let runs = [
            figures(&[("a_us", 3.0), ("b_us", 1.0)]),
            figures(&[("a_us", 1.0)]),
            figures(&[("a_us", 9.0), ("b_us", 2.0)]),
        ];
        let medians = Figures::medians(&runs.iter().collect::<Vec<_>>());
        assert_eq!(medians, figures(&[("a_us", 3.0), ("b_us", 1.5)]));
    }

    #[test]
    fn ratios_need_both_sides() {
        let ratios = figures(&[("a_us", 6.0), ("b_us", 1.0), ("c_us", 1.0)])
            .ratios(&figures(&[("a_us", 4.0), ("c_us", 0.0)]));
        assert_eq!(ratios, figures(&[("a_us", 1.5)]));
    }

    #[test]
    fn numbers_that_are_none_are_left_out() {
        assert_eq!(figures(&[("a", f64::NAN), ("b", 1.0 / 0.0)]), Figures::default());
    }

    #[test]
    fn figures_keep_their_order_in_json() {
        let all = figures(&[("z_us", 1.0), ("a_us", 2.5)]);
        let text = serde_json::to_string(&all).expect("JSON");
        assert_eq!(text, r#"{"z_us":1.0,"a_us":2.5}"#);
        assert_eq!(serde_json::from_str::<Figures>(&text).expect("figures"), all);
    }

    #[test]
    fn people_get_three_digits_and_a_unit() {
        for (name, value, text) in [
            ("deliveries_per_second", 1_234_567.8, "1,234,568 /s"),
            ("cpu_per_delivery_us", 0.0912, "0.0912 µs"),
            ("cpu_per_delivery_us", 6.437, "6.44 µs"),
            ("delivery_p99_us", 12_345.0, "12.3 ms"),
            ("memory_per_subscriber_bytes", 850.0, "850 B"),
            ("memory_per_subscriber_bytes", -2048.0, "-2.00 KiB"),
            ("cpu_percent", 0.0, "0 %"),
            ("all_back_seconds", 1.5, "1.50 s"),
            ("lost_count", 7.0, "7"),
            ("files_per_subscriber_count", 1.5, "1.50"),
        ] {
            assert_eq!(with_unit(name, value), text, "{name}");
        }
        assert_eq!(label("cpu_per_delivery_us"), "CPU per delivery");
        assert_eq!(plain(-123_456.0), "-123,456");
    }
}

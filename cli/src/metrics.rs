//! A reader of Prometheus text, as the sidecars expose it: sums over the series whose labels match.

/// One scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Name of the metric.
    pub(crate) name: String,
    labels: Vec<(String, String)>,
    /// Its value.
    pub(crate) value: f64,
}

/// Labels that a series must have.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Metrics {
    /// Reads a scrape. Comments, and lines that are not samples, are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(sample).collect() }
    }

    /// Every sample, as they came.
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Sum over the series of this name that have all of these labels; none if there is no such series.
    pub(crate) fn get(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        self.matching(name, labels).map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// As [`Metrics::get`]; a counter that has not counted yet is 0.
    pub(crate) fn count(&self, name: &str, labels: Labels<'_>) -> u64 {
        self.get(name, labels).unwrap_or(0.0).max(0.0) as u64
    }

    /// The values of `label` over the series of this name, each with its sample.
    pub(crate) fn by<'a>(&'a self, name: &'a str, label: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.matching(name, &[]).filter_map(move |sample| Some((sample.label(label)?, sample.value)))
    }

    /// The upper bound, in the histogram's unit, of the bucket in which the quantile (0 to 1) of what was observed
    /// since `earlier` lies. Infinite above the last bucket; none if nothing was observed.
    pub(crate) fn quantile_since(
        &self,
        earlier: &Self,
        name: &str,
        labels: Labels<'_>,
        quantile: f64,
    ) -> Option<f64> {
        let name = format!("{name}_bucket");
        let at = |metrics: &Self, bound: &str| {
            metrics
                .matching(&name, labels)
                .filter(|sample| sample.label("le") == Some(bound))
                .map(|sample| sample.value)
                .sum::<f64>()
        };
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (text, _) in self.by(&name, "le") {
            let Some(bound) = number(text) else { continue };
            if buckets.iter().all(|(known, _)| known.total_cmp(&bound).is_ne()) {
                buckets.push((bound, at(self, text) - at(earlier, text)));
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last()?.1;
        if total <= 0.0 {
            return None;
        }
        buckets.iter().find(|(_, below)| *below >= quantile * total).map(|(bound, _)| *bound)
    }

    fn matching<'a>(&'a self, name: &'a str, labels: Labels<'a>) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name && labels.iter().all(|(label, value)| sample.label(label) == Some(value))
        })
    }
}

impl Sample {
    /// Value of a label, if it is there.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// One line: `name{label="value",…} number`, perhaps with a timestamp behind it.
fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' ', '\t'])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = number(rest.split_whitespace().next()?)?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Label pairs up to the closing brace, and what follows it. Values escape `\\`, `\"` and `\n`.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
    }
}

/// A number as the exposition format writes it; Rust reads its `+Inf` and `NaN` too.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests;

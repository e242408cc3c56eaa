//! A subscriber that prints the spans of runs and tools when they have ended.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

pub(crate) struct Printer;

/// The recorded fields of a span.
struct Seen {
    begun: Instant,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Printer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut seen = Seen {
            begun: Instant::now(),
            fields: BTreeMap::new(),
        };
        attributes.record(&mut seen);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(seen);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(seen) = span.extensions_mut().get_mut::<Seen>()
        {
            values.record(seen);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let extensions = span.extensions();
        let Some(seen) = extensions.get::<Seen>() else {
            return;
        };
        let Some(name) = seen.fields.get("otel.name") else {
            return;
        };
        let indent = if span.name() == "invoke_agent" {
            ""
        } else {
            "  "
        };
        println!(
            "{indent}{name}  {:.2} s",
            seen.begun.elapsed().as_secs_f64()
        );
        for (field, value) in &seen.fields {
            if !field.starts_with("otel.") {
                println!("{indent}    {field} = {value}");
            }
        }
    }
}

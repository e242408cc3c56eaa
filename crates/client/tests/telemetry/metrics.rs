//! Metrics, as the exporter for Prometheus shows them.

use http::StatusCode;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use twentyfirst_client::{AgentClient, StartRun, telemetry};
use twentyfirst_local_relay::{Fault, LocalRelay};

use crate::support::{answered, connect, relay, subscribe};

/// An exporter for the metrics that are reported on the thread of a test, and a relay.
pub(crate) struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    relay: LocalRelay,
}

impl Exporter {
    pub(crate) fn new() -> Self {
        subscribe();
        // One bucket, so that only the counts are shown.
        let builder = PrometheusBuilder::new().set_buckets(&[3600.0]).unwrap();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self {
            recorder,
            handle,
            relay: relay(),
        }
    }

    pub(crate) fn play(&self, play: impl AsyncFnOnce(AgentClient)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = connect(&self.relay);
        ::metrics::with_local_recorder(&self.recorder, || {
            telemetry::describe_metrics();
            runtime.block_on(play(client));
        });
    }

    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Returns the samples in order, without those that depend on time.
    pub(crate) fn samples(&self) -> String {
        let text = self.render();
        let mut lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty() && !line.contains("_bucket{"))
            .filter(|line| {
                !(line.contains("_duration_sum")
                    || line.contains("_chunk_sum")
                    || line.contains("lag_sum"))
            })
            .filter(|line| !line.contains("runs_bytes"))
            .collect();
        lines.sort_unstable();
        lines.join("\n")
    }
}

#[test]
fn runs_are_counted_with_their_ends_tools_tokens_and_costs() {
    let exporter = Exporter::new();
    exporter.play(async |client| {
        for agent in ["reviewer", "limited", "failing"] {
            drop(answered(&client, agent).await);
        }
    });
    insta::assert_snapshot!(exporter.samples());
    assert!(
        exporter
            .render()
            .contains("twentyfirst_runs_bytes{gen_ai_agent_name=\"reviewer\"} ")
    );
}

#[test]
fn a_run_is_active_from_its_first_request_until_reading_stops() {
    let exporter = Exporter::new();
    let active = |count: u32| {
        let line = format!("twentyfirst_runs_active{{gen_ai_agent_name=\"slow\"}} {count}\n");
        assert!(exporter.render().contains(&line), "{}", exporter.render());
    };
    exporter.play(async |client| {
        let start = StartRun::new("slow", "a story that takes some time");
        let first = client.threads().start(start.clone()).await.unwrap();
        active(1);
        let second = client.threads().start(start).await.unwrap();
        active(2);
        drop(first);
        active(1);
        drop(second.into_body());
        active(0);
    });
}

#[test]
fn every_metric_has_a_description() {
    let exporter = Exporter::new();
    exporter.play(async |client| {
        drop(answered(&client, "slow").await);
    });
    let text = exporter.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names: Vec<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    assert!(names.len() > 3, "{text}");
    for name in names {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn retries_are_counted_by_route() {
    let exporter = Exporter::new();
    exporter.play(async |client| {
        let sandbox = client.sandboxes().create("slow").await.unwrap();
        exporter
            .relay
            .inject(Fault::refuse(StatusCode::SERVICE_UNAVAILABLE).times(2));
        client.threads().list(&sandbox.id).await.unwrap();
    });
    let line = "twentyfirst_requests_retries{http_route=\"/v1/sandboxes/{sandboxId}/threads\"} 2\n";
    assert!(exporter.render().contains(line), "{}", exporter.render());
}

//! Decoding a long answer costs no memory for each of its events.

#[path = "../benches/loads/mod.rs"]
#[expect(dead_code, reason = "only one of the loads is used here")]
mod loads;

use twentyfirst_protocol::ui::Decoder;

#[test]
fn a_delta_costs_no_allocation() {
    let load = loads::text();
    for (pieces, what) in [
        (load.in_large_pieces(), "large"),
        (load.in_small_pieces(), "small"),
    ] {
        let mut decoder = Decoder::new();
        let mut chunks = 0;
        let allocated = allocation_counter::measure(|| {
            for piece in pieces {
                decoder.push(piece);
                while let Some(chunk) = decoder.next_chunk() {
                    chunks += usize::from(chunk.is_ok());
                }
            }
        });
        assert_eq!(chunks, load.events);
        let each = allocated.count_total as f64 / load.events as f64;
        assert!(
            each <= 0.001,
            "{each} allocations for each event in {what} pieces"
        );
        assert!(
            allocated.bytes_max <= 4096,
            "{} bytes in {what} pieces",
            allocated.bytes_max
        );
    }
}
